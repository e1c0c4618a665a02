/*
 * tokenizer.c: reads what describes a tokenizer. What it describes that is not built here is refused: other
 * tokens than the model was trained with would be answered by other labels, and nobody would know why.
 */
#include "inference/tokenizer.h"

#include <stdlib.h>

#include "base/mem.h"
#include "inference/document.h"
#include "inference/vocabulary.h"

enum { LONGEST_WORD = 100 }; /* unless tokenizer.json has another one */

/* Pieces */

/* Adds a piece, as vocabularies have them: "##" before those that go on in a word. */
static char *add_piece(struct tokenizer *tokenizer, const struct document *from, struct str piece,
                       uint32_t id)
{
    bool goes_on = piece.len > 2 && memcmp(piece.base, "##", 2) == 0;
    if (goes_on)
        piece = (struct str){piece.base + 2, piece.len - 2};
    if (!vocabulary_add(tokenizer->vocabulary, piece, goes_on, id))
        return document_error(from, "the vocabulary is too large");
    if (id >= tokenizer->n_ids)
        tokenizer->n_ids = id + 1;
    return NULL;
}

static char *read_vocabulary(struct tokenizer *tokenizer, const struct document *from,
                             const struct json_value *vocabulary)
{
    char *error = NULL;
    struct json_iterator iterator = json_members(*vocabulary);
    struct json_value value;
    struct str name;
    while (error == NULL && json_next(&iterator, &name, &value)) {
        uint32_t id;
        size_t len;
        char *piece = document_string(name, &len);
        if (!document_number(&value, INT32_MAX, &id))
            error = document_error(from, "the number of \"%s\" in model.vocab is wrong", piece);
        else if (len > 0)
            error = add_piece(tokenizer, from, (struct str){piece, len}, id);
        free(piece);
    }
    return error;
}

/* One piece a line. */
static char *read_lines(struct tokenizer *tokenizer, const struct document *from)
{
    char *error = NULL;
    const char *at = from->text, *end = from->text + from->len;
    for (uint32_t id = 0; error == NULL && at < end; id++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline != NULL ? newline : end;
        struct str piece = {at, (size_t)(stop - at)};
        if (piece.len > 0 && piece.base[piece.len - 1] == '\r')
            piece.len--;
        if (piece.len > 0)
            error = add_piece(tokenizer, from, piece, id);
        at = stop + 1;
    }
    return error;
}

/* Tokens with a name */

static void add_named(struct tokenizer *tokenizer, char *text, size_t len, uint32_t id)
{
    MEM_GROW(&tokenizer->named, tokenizer->n_named);
    tokenizer->named[tokenizer->n_named++] = (struct wordpiece_named){{text, len}, id};
}

static bool find_named(const struct tokenizer *tokenizer, struct str text, uint32_t *id)
{
    for (size_t i = 0; i < tokenizer->n_named; i++) {
        if (str_equal(tokenizer->named[i].text, text)) {
            *id = tokenizer->named[i].id;
            return true;
        }
    }
    *id = vocabulary_find(tokenizer->vocabulary, text);
    return *id != VOCABULARY_NONE;
}

static char *read_added(struct tokenizer *tokenizer, const struct document *from)
{
    struct json_value added, token, value;
    if (!document_find(&from->root, "added_tokens", &added))
        return NULL;
    if (added.kind != JSON_ARRAY)
        return document_error(from, "added_tokens is not a list");
    struct json_iterator iterator = json_members(added);
    struct str name;
    while (json_next(&iterator, &name, &token)) {
        uint32_t id;
        if (!document_find(&token, "id", &value) || !document_number(&value, INT32_MAX, &id) ||
            !document_find(&token, "content", &value) || value.kind != JSON_STRING || value.text.len <= 2)
            return document_error(from, "an entry of added_tokens has no id and content");
        if (document_bool(&token, "normalized", false) || document_bool(&token, "single_word", false))
            return document_error(from,
                                  "the added token %.*s is normalized or a single_word: such are not "
                                  "supported",
                                  (int)value.text.len, value.text.base);
        size_t len;
        char *text = document_string(value.text, &len);
        add_named(tokenizer, text, len, id);
        if (id >= tokenizer->n_ids)
            tokenizer->n_ids = id + 1;
    }
    return NULL;
}

/* tokenizer.json */

/* Is the member an object of this type? */
static bool has_type(const struct json_value *object, const char *key, const char *type,
                     struct json_value *member)
{
    struct json_value name;
    return document_find(object, key, member) && document_find(member, "type", &name) &&
           document_is(&name, type);
}

static char *read_normalizer(struct tokenizer *tokenizer, const struct document *from)
{
    struct json_value normalizer, other;
    if (!has_type(&from->root, "normalizer", "BertNormalizer", &normalizer) ||
        !document_bool(&normalizer, "clean_text", true))
        return document_error(from, "the normalizer is not a BertNormalizer with clean_text: no other is "
                                    "supported");
    if (!has_type(&from->root, "pre_tokenizer", "BertPreTokenizer", &other))
        return document_error(from, "the pre_tokenizer is not a BertPreTokenizer: no other is supported");
    tokenizer->how.lowercase = document_bool(&normalizer, "lowercase", true);
    tokenizer->how.strip_accents = document_bool(&normalizer, "strip_accents", tokenizer->how.lowercase);
    tokenizer->how.splits_ideographs = document_bool(&normalizer, "handle_chinese_chars", true);
    return NULL;
}

static char *read_model(struct tokenizer *tokenizer, const struct document *from)
{
    struct json_value model, value;
    if (!has_type(&from->root, "model", "WordPiece", &model))
        return document_error(from, "the model is not WordPiece: no other is supported");
    if (document_find(&model, "continuing_subword_prefix", &value) && !document_is(&value, "##"))
        return document_error(from, "model.continuing_subword_prefix is not \"##\": no other is supported");
    if (document_find(&model, "max_input_chars_per_word", &value) &&
        (!document_number(&value, UINT32_MAX, &tokenizer->how.longest_word) ||
         tokenizer->how.longest_word > WORDPIECE_WORD))
        return document_error(from, "model.max_input_chars_per_word is not a number up to %d",
                              WORDPIECE_WORD);
    if (!document_find(&model, "vocab", &value) || value.kind != JSON_OBJECT)
        return document_error(from, "model.vocab is missing");
    char *error = read_vocabulary(tokenizer, from, &value);
    if (error != NULL)
        return error;
    char *unknown = document_text(&model, "unk_token");
    tokenizer->how.unknown =
        vocabulary_find(tokenizer->vocabulary, str_of(unknown != NULL ? unknown : "[UNK]"));
    free(unknown);
    return tokenizer->how.unknown == VOCABULARY_NONE
               ? document_error(from, "model.unk_token is not in the vocabulary")
               : NULL;
}

/* The token that a step of a template puts there; false where it puts the text, or nothing that is known. */
static bool template_token(const struct tokenizer *tokenizer, const struct json_value *step, uint32_t *id)
{
    struct json_value token;
    if (!document_find(step, "SpecialToken", &token))
        return false;
    char *text = document_text(&token, "id");
    bool is_known = text != NULL && find_named(tokenizer, str_of(text), id);
    free(text);
    return is_known;
}

/* ["[SEP]", 102] */
static bool pair_token(const struct json_value *processor, const char *key, uint32_t *id)
{
    struct json_value pair, value;
    struct str name;
    if (!document_find(processor, key, &pair) || pair.kind != JSON_ARRAY)
        return false;
    struct json_iterator iterator = json_members(pair);
    return json_next(&iterator, &name, &value) && json_next(&iterator, &name, &value) &&
           document_number(&value, INT32_MAX, id);
}

/* Which tokens stand before and after a text. */
static char *read_processor(struct tokenizer *tokenizer, const struct document *from)
{
    struct json_value processor, single, steps[3], more;
    bool is_known = false;
    if (has_type(&from->root, "post_processor", "BertProcessing", &processor))
        is_known = pair_token(&processor, "cls", &tokenizer->how.first) &&
                   pair_token(&processor, "sep", &tokenizer->how.last);
    else if (has_type(&from->root, "post_processor", "TemplateProcessing", &processor) &&
             document_find(&processor, "single", &single) && single.kind == JSON_ARRAY) {
        struct json_iterator iterator = json_members(single);
        struct str name;
        size_t n = 0;
        while (n < 3 && json_next(&iterator, &name, &steps[n]))
            n++;
        is_known = n == 3 && !json_next(&iterator, &name, &more) &&
                   template_token(tokenizer, &steps[0], &tokenizer->how.first) &&
                   document_find(&steps[1], "Sequence", &more) &&
                   template_token(tokenizer, &steps[2], &tokenizer->how.last);
    }
    return is_known
               ? NULL
               : document_error(from, "the post_processor is not one that puts a token before a text and "
                                      "one after it: no other is supported");
}

static char *read_tokenizer_json(struct tokenizer *tokenizer, const char *folder)
{
    struct document document = {0};
    char *error = document_read(&document, folder, "tokenizer.json");
    if (error == NULL)
        error = read_normalizer(tokenizer, &document);
    if (error == NULL)
        error = read_model(tokenizer, &document);
    if (error == NULL)
        error = read_added(tokenizer, &document);
    if (error == NULL)
        error = read_processor(tokenizer, &document);
    document_free(&document);
    return error;
}

/* vocab.txt */

/* A token by the name that tokenizer_config.json gives it: text, or an object with its content. */
static char *read_token(struct tokenizer *tokenizer, const struct document *from,
                        const struct json_value *config, const char *key, const char *standard, uint32_t *id)
{
    struct json_value value;
    char *text = document_text(config, key);
    if (text == NULL && document_find(config, key, &value))
        text = document_text(&value, "content");
    if (text == NULL)
        text = mem_strdup(standard);
    *id = vocabulary_find(tokenizer->vocabulary, str_of(text));
    if (*id == VOCABULARY_NONE) {
        char *error = document_error(from, "the %s \"%s\" is not in the vocabulary", key, text);
        free(text);
        return error;
    }
    add_named(tokenizer, text, strlen(text), *id);
    return NULL;
}

static char *read_vocab_txt(struct tokenizer *tokenizer, const char *folder, const struct json_value *config)
{
    static const char *const keys[] = {"unk_token", "cls_token", "sep_token", "pad_token", "mask_token"};
    static const char *const standard[] = {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"};
    uint32_t ids[5];
    struct document document = {0};
    char *error = document_load(&document, folder, "vocab.txt");
    if (error == NULL)
        error = read_lines(tokenizer, &document);
    for (size_t i = 0; error == NULL && i < 5; i++)
        error = read_token(tokenizer, &document, config, keys[i], standard[i], &ids[i]);
    if (error == NULL) {
        tokenizer->how.unknown = ids[0];
        tokenizer->how.first = ids[1];
        tokenizer->how.last = ids[2];
        tokenizer->how.lowercase = document_bool(config, "do_lower_case", true);
        tokenizer->how.strip_accents = document_bool(config, "strip_accents", tokenizer->how.lowercase);
        tokenizer->how.splits_ideographs = document_bool(config, "tokenize_chinese_chars", true);
    }
    document_free(&document);
    return error;
}

/* tokenizer_config.json */

/* Does it say the same as tokenizer.json, where it says anything? Libraries differ in whom they believe. */
static char *check_config(const struct tokenizer *tokenizer, const struct document *config)
{
    const struct json_value *root = &config->root;
    const struct wordpiece *how = &tokenizer->how;
    const char *differs = NULL;
    if (document_bool(root, "do_lower_case", how->lowercase) != how->lowercase)
        differs = "do_lower_case";
    else if (document_bool(root, "strip_accents", how->strip_accents) != how->strip_accents)
        differs = "strip_accents";
    else if (document_bool(root, "tokenize_chinese_chars", how->splits_ideographs) != how->splits_ideographs)
        differs = "tokenize_chinese_chars";
    if (differs != NULL)
        return document_error(config, "%s is not what tokenizer.json says", differs);
    if (!document_bool(root, "do_basic_tokenize", true))
        return document_error(config, "do_basic_tokenize: false is not supported");
    return NULL;
}

char *tokenizer_read(struct tokenizer *tokenizer, const char *folder)
{
    *tokenizer = (struct tokenizer){.length = UINT32_MAX, .vocabulary = vocabulary_new()};
    tokenizer->how.longest_word = LONGEST_WORD;
    struct document config = {0};
    char *error = NULL;
    if (document_is_there(folder, "tokenizer_config.json"))
        error = document_read(&config, folder, "tokenizer_config.json");
    else
        config.root = (struct json_value){.kind = JSON_NULL};
    if (error == NULL)
        error = document_is_there(folder, "tokenizer.json") ? read_tokenizer_json(tokenizer, folder)
                                                            : read_vocab_txt(tokenizer, folder, &config.root);
    if (error == NULL)
        error = check_config(tokenizer, &config);
    struct json_value value;
    if (error == NULL && document_find(&config.root, "model_max_length", &value) &&
        (!document_number(&value, UINT32_MAX, &tokenizer->length) || tokenizer->length < 2))
        error = document_error(&config, "model_max_length is not a number from 2 on");
    document_free(&config);
    uint32_t pad;
    tokenizer->pad = find_named(tokenizer, STR("[PAD]"), &pad) ? pad : 0;
    tokenizer->how.vocabulary = tokenizer->vocabulary;
    tokenizer->how.named = tokenizer->named;
    tokenizer->how.n_named = tokenizer->n_named;
    return error;
}

void tokenizer_free(struct tokenizer *tokenizer)
{
    for (size_t i = 0; i < tokenizer->n_named; i++)
        free((char *)tokenizer->named[i].text.base);
    free(tokenizer->named);
    vocabulary_free(tokenizer->vocabulary);
    *tokenizer = (struct tokenizer){0};
}
