/* scores.c: a model's numbers as labels with scores. */
#include "inference/scores.h"

#include <math.h>
#include <stdlib.h>

#include "unit/tap.h"

static char *labels[] = {"\"a\"", "\"b\"", "\"c\\n\""};

static const char *written(enum model_scores how, size_t n, float x, float y, float z, int top_k)
{
    static char text[512];
    struct model_config config = {.scores = how, .labels = labels, .n_labels = n};
    float numbers[] = {x, y, z};
    struct json_writer writer = json_writer_on(NULL, 0);
    scores_write(&writer, &config, numbers, top_k);
    snprintf(text, sizeof(text), "%.*s", (int)writer.len, writer.base);
    free(writer.base);
    return text;
}

static void test_functions(void)
{
    is_str(written(MODEL_SOFTMAX, 2, 0, 0, 0, SCORES_ALL),
           "[{\"label\":\"a\",\"score\":0.5},{\"label\":\"b\",\"score\":0.5}]",
           "equal ones keep their order");
    is_str(written(MODEL_SOFTMAX, 2, 1000, -1000, 0, SCORES_ALL),
           "[{\"label\":\"a\",\"score\":1},{\"label\":\"b\",\"score\":0}]",
           "softmax of what exp has no number for");
    is_str(written(MODEL_SIGMOID, 1, 0, 0, 0, SCORES_BEST), "{\"label\":\"a\",\"score\":0.5}", "sigmoid");
    is_str(written(MODEL_SIGMOID, 2, -1000, 1000, 0, SCORES_ALL),
           "[{\"label\":\"b\",\"score\":1},{\"label\":\"a\",\"score\":0}]", "sigmoid at its ends");
    is_str(written(MODEL_PLAIN, 3, 0.25F, -3, 7.125F, SCORES_ALL),
           "[{\"label\":\"c\\n\",\"score\":7.125},{\"label\":\"a\",\"score\":0.25},{\"label\":\"b\","
           "\"score\":-3}]",
           "as they are");
    is_str(written(MODEL_PLAIN, 1, NAN, 0, 0, SCORES_BEST), "{\"label\":\"a\",\"score\":null}", "no number");
}

static void test_top_k(void)
{
    is_str(written(MODEL_PLAIN, 3, 1, 3, 2, SCORES_BEST), "{\"label\":\"b\",\"score\":3}", "the best one");
    is_str(written(MODEL_PLAIN, 3, 1, 3, 2, 1), "[{\"label\":\"b\",\"score\":3}]", "as a list");
    is_str(written(MODEL_PLAIN, 3, 1, 3, 2, 2),
           "[{\"label\":\"b\",\"score\":3},{\"label\":\"c\\n\",\"score\":2}]", "two");
    is_str(written(MODEL_PLAIN, 2, 1, 3, 0, 9),
           "[{\"label\":\"b\",\"score\":3},{\"label\":\"a\",\"score\":1}]", "no more than there are");
}

static void test_numbers(void)
{
    char text[64];
    const float numbers[] = {0.1F, 0.99066293F, 3.680536e-05F, 1e-38F, 16777216};
    const char *const want[] = {"0.1", "0.99066293", "3.680536e-05", "1e-38", "16777216"};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct json_writer writer = json_writer_on(NULL, 0);
        scores_write_number(&writer, numbers[i]);
        snprintf(text, sizeof(text), "%.*s", (int)writer.len, writer.base);
        is_str(text, want[i], "%s has no more digits than it needs", want[i]);
        free(writer.base);
    }
}

int main(void)
{
    test_functions();
    test_top_k();
    test_numbers();
    return done_testing();
}
