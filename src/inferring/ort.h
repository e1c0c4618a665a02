/*
 * ort.h: as much of ONNX Runtime's C interface as is used here (onnxruntime_c_api.h). It is a table of
 * functions, whose places never change: a library answers for each version up to its own. Version 11 came in
 * 2022.
 */
#ifndef HAYFORK_INFERRING_ORT_H
#define HAYFORK_INFERRING_ORT_H

#include <stddef.h>
#include <stdint.h>

enum { ORT_VERSION = 11 };
enum { ORT_LOGS_ERRORS = 3 };
enum { ORT_OPTIMIZES_ALL = 99 };
enum { ORT_TYPE_FLOAT = 1, ORT_TYPE_INT64 = 7 };
enum { ORT_ALLOCATOR_DEVICE = 0, ORT_MEMORY_DEFAULT = 0 };

typedef struct ort_status ort_status; /* NULL: it was done */
struct ort_env;
struct ort_session;
struct ort_options;
struct ort_value;
struct ort_memory;
struct ort_allocator;
struct ort_type;
struct ort_shape;
struct ort_cuda;

/* The functions that are left out have only their places. */
#define ORT_PLACES(from, to) void *unused_##from[(to) - (from)]

struct ort_api {
    ORT_PLACES(0, 2);
    const char *(*error_message)(const ort_status *status);
    ort_status *(*create_env)(int log_level, const char *name, struct ort_env **env);
    ORT_PLACES(4, 6);
    ort_status *(*disable_telemetry)(const struct ort_env *env);
    ort_status *(*create_session)(const struct ort_env *env, const char *path,
                                  const struct ort_options *options, struct ort_session **session);
    ORT_PLACES(8, 9);
    ort_status *(*run)(struct ort_session *session, const void *run_options, const char *const *input_names,
                       const struct ort_value *const *inputs, size_t n_inputs,
                       const char *const *output_names, size_t n_outputs, struct ort_value **outputs);
    ort_status *(*create_options)(struct ort_options **options);
    ORT_PLACES(11, 17);
    ort_status *(*disable_memory_pattern)(struct ort_options *options);
    ORT_PLACES(18, 19);
    ort_status *(*disable_cpu_arena)(struct ort_options *options);
    ORT_PLACES(20, 23);
    ort_status *(*set_optimization)(struct ort_options *options, int level);
    ort_status *(*set_intra_threads)(struct ort_options *options, int n);
    ort_status *(*set_inter_threads)(struct ort_options *options, int n);
    ORT_PLACES(26, 30);
    ort_status *(*input_count)(const struct ort_session *session, size_t *n);
    ort_status *(*output_count)(const struct ort_session *session, size_t *n);
    ORT_PLACES(32, 33);
    ort_status *(*input_type)(const struct ort_session *session, size_t i, struct ort_type **type);
    ort_status *(*output_type)(const struct ort_session *session, size_t i, struct ort_type **type);
    ORT_PLACES(35, 36);
    ort_status *(*input_name)(const struct ort_session *session, size_t i, struct ort_allocator *allocator,
                              char **name);
    ort_status *(*output_name)(const struct ort_session *session, size_t i, struct ort_allocator *allocator,
                               char **name);
    ORT_PLACES(38, 49);
    ort_status *(*create_tensor)(const struct ort_memory *memory, void *data, size_t bytes,
                                 const int64_t *shape, size_t dimensions, int element_type,
                                 struct ort_value **value);
    ORT_PLACES(50, 51);
    ort_status *(*tensor_data)(struct ort_value *value, void **data);
    ORT_PLACES(52, 55);
    ort_status *(*type_to_shape)(const struct ort_type *type, const struct ort_shape **shape);
    ORT_PLACES(56, 60);
    ort_status *(*element_type)(const struct ort_shape *shape, int *element_type);
    ort_status *(*dimensions_count)(const struct ort_shape *shape, size_t *n);
    ort_status *(*dimensions)(const struct ort_shape *shape, int64_t *dimensions, size_t n);
    ORT_PLACES(63, 65);
    ort_status *(*value_shape)(const struct ort_value *value, struct ort_shape **shape);
    ORT_PLACES(66, 69);
    ort_status *(*create_cpu_memory)(int allocator, int memory_type, struct ort_memory **memory);
    ORT_PLACES(70, 76);
    ort_status *(*allocator_free)(struct ort_allocator *allocator, void *memory);
    ORT_PLACES(77, 78);
    ort_status *(*default_allocator)(struct ort_allocator **allocator);
    ORT_PLACES(79, 93);
    void (*release_status)(ort_status *status);
    ORT_PLACES(94, 96);
    void (*release_value)(struct ort_value *value);
    ORT_PLACES(97, 98);
    void (*release_type)(struct ort_type *type);
    void (*release_shape)(struct ort_shape *shape);
    void (*release_options)(struct ort_options *options);
    ORT_PLACES(101, 204);
    ort_status *(*append_cuda)(struct ort_options *options, const struct ort_cuda *cuda);
    ort_status *(*create_cuda)(struct ort_cuda **cuda);
    ORT_PLACES(206, 208);
    void (*release_cuda)(struct ort_cuda *cuda);
};

_Static_assert(offsetof(struct ort_api, release_cuda) == 208 * sizeof(void *), "each function has its place");

/* What the library's OrtGetApiBase returns. */
struct ort_base {
    const struct ort_api *(*get_api)(uint32_t version);
    const char *(*version)(void);
};

#endif
