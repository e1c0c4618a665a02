/*
 * vocabulary.c: a tree of bytes, which two roots begin: for what words begin with, and for what goes on in
 * them. The edges are in one hash table. What is looked for there is what the vocabulary's maker chose, who
 * is trusted, and where a text leads.
 */
#include "inference/vocabulary.h"

#include <stdlib.h>

#include "base/mem.h"

enum {
    BEGINS = 0,
    GOES_ON = 1,
    MOST_NODES = 1 << 24, /* a number of 24 bits, and a byte, are an edge */
    NO_NODE = 0,          /* none leads to a root */
    SMALLEST_BITS = 10
};

struct edge {
    uint32_t key; /* the node that it leaves, and the byte that takes it */
    uint32_t to;
};

struct vocabulary {
    struct edge *edges; /* at most half of them are in use; where `to` is NO_NODE there is none */
    unsigned bits;
    uint32_t *ids; /* of each node: of the piece that ends there, or VOCABULARY_NONE */
    uint32_t n_nodes;
};

struct vocabulary *vocabulary_new(void)
{
    struct vocabulary *vocabulary = mem_calloc(1, sizeof(*vocabulary));
    vocabulary->bits = SMALLEST_BITS;
    vocabulary->edges = mem_calloc((size_t)1 << SMALLEST_BITS, sizeof(struct edge));
    vocabulary->ids = mem_alloc(2 * sizeof(uint32_t));
    vocabulary->ids[BEGINS] = vocabulary->ids[GOES_ON] = VOCABULARY_NONE;
    vocabulary->n_nodes = 2;
    return vocabulary;
}

void vocabulary_free(struct vocabulary *vocabulary)
{
    if (vocabulary == NULL)
        return;
    free(vocabulary->edges);
    free(vocabulary->ids);
    free(vocabulary);
}

static uint32_t edge_key(uint32_t from, char byte)
{
    return from << 8 | (unsigned char)byte;
}

/* Where the edge is, or could be put. */
static struct edge *place(const struct vocabulary *vocabulary, uint32_t key)
{
    uint32_t mask = ((uint32_t)1 << vocabulary->bits) - 1;
    uint32_t at = (key * UINT32_C(2654435769)) >> (32 - vocabulary->bits);
    while (vocabulary->edges[at].to != NO_NODE && vocabulary->edges[at].key != key)
        at = (at + 1) & mask;
    return &vocabulary->edges[at];
}

static void make_room(struct vocabulary *vocabulary)
{
    size_t size = (size_t)1 << vocabulary->bits;
    if (vocabulary->n_nodes < size / 2)
        return;
    struct edge *old = vocabulary->edges;
    vocabulary->bits++;
    vocabulary->edges = mem_calloc(size * 2, sizeof(struct edge));
    for (size_t i = 0; i < size; i++) {
        if (old[i].to != NO_NODE)
            *place(vocabulary, old[i].key) = old[i];
    }
    free(old);
}

bool vocabulary_add(struct vocabulary *vocabulary, struct str piece, bool goes_on, uint32_t id)
{
    uint32_t node = goes_on ? GOES_ON : BEGINS;
    for (size_t i = 0; i < piece.len; i++) {
        uint32_t key = edge_key(node, piece.base[i]);
        struct edge *edge = place(vocabulary, key);
        if (edge->to == NO_NODE) {
            if (vocabulary->n_nodes == MOST_NODES)
                return false;
            MEM_GROW(&vocabulary->ids, vocabulary->n_nodes);
            vocabulary->ids[vocabulary->n_nodes] = VOCABULARY_NONE;
            *edge = (struct edge){key, vocabulary->n_nodes++};
            node = edge->to;
            make_room(vocabulary);
        } else
            node = edge->to;
    }
    vocabulary->ids[node] = id;
    return true;
}

size_t vocabulary_longest(const struct vocabulary *vocabulary, struct str text, bool goes_on, uint32_t *id)
{
    size_t longest = 0;
    uint32_t node = goes_on ? GOES_ON : BEGINS;
    for (size_t i = 0; i < text.len; i++) {
        node = place(vocabulary, edge_key(node, text.base[i]))->to;
        if (node == NO_NODE)
            break;
        if (vocabulary->ids[node] != VOCABULARY_NONE) {
            longest = i + 1;
            *id = vocabulary->ids[node];
        }
    }
    return longest;
}

uint32_t vocabulary_find(const struct vocabulary *vocabulary, struct str piece)
{
    uint32_t id;
    return piece.len > 0 && vocabulary_longest(vocabulary, piece, false, &id) == piece.len ? id
                                                                                           : VOCABULARY_NONE;
}
