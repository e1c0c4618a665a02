/*
 * vips.c: makes pictures, by libvips.
 *
 * Only the loaders of the formats that images_sniff knows are left: whatever else the library can read, a
 * client's bytes never get there. What a picture takes is decided from its header, before a pixel is read;
 * large ones are made smaller by their decoder as far as it can.
 */
#include "imaging/vips.h"

#include <gmodule.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vips/vips.h>

#include "base/log.h"
#include "images/job.h"
#include "images/plan.h"

enum {
    WEBP_SIDE_MOST = 16383, /* pixels, as the format has it */
    AVIF_SIDE_MOST = 16384, /* as the encoder has it */
    PNG_COMPRESSION = 3,    /* of 9: half the time of 6 for a few percent more bytes */
    WEBP_EFFORT = 2,        /* of 6 */
    AVIF_EFFORT = 1,        /* of 9 */
};

/* Blurring takes the longer the wider it is: from here on a smaller picture is blurred less, and enlarged. */
static const double widest_blur = 6;

static bool has_avif;

/* One job. */
struct making {
    const struct helpers_call *call;
    const struct images_job *job;
    struct images_result *result;
    bool has_profile; /* the original says which colours its numbers are */
    VipsImage *image; /* as far as it is made */
};

/* Notes why there will be no picture. Returns false. */
static bool refuse(struct making *making, unsigned status, const char *parameter, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static bool refuse(struct making *making, unsigned status, const char *parameter, const char *format, ...)
{
    struct images_result *result = making->result;
    va_list args;
    va_start(args, format);
    result->status = status;
    vsnprintf(result->detail, sizeof(result->detail), format, args);
    va_end(args);
    snprintf(result->parameter, sizeof(result->parameter), "%s", parameter);
    return false;
}

/* The same for what the library has failed at. It says more than one line at times. */
static bool refuse_broken(struct making *making)
{
    struct images_result *result = making->result;
    snprintf(result->reason, sizeof(result->reason), "%s", vips_error_buffer());
    result->reason[strcspn(result->reason, "\n")] = '\0';
    return refuse(making, 422, "",
                  "The original is broken, or is a kind of its format that is not supported.");
}

/* Goes on with another image, or notes that there is none. */
static bool take(struct making *making, int failed, VipsImage **next)
{
    if (failed)
        return refuse_broken(making);
    if (making->image != NULL)
        g_object_unref(making->image);
    making->image = *next;
    *next = NULL;
    return true;
}

/* Begins at the header, which is all that is read here. */
static bool read_header(struct making *making, const void *bytes, uint32_t *width, uint32_t *height)
{
    const struct images_job *job = making->job;
    VipsImage *image = vips_image_new_from_buffer(bytes, job->size, "", NULL);
    if (image == NULL)
        return refuse_broken(making);
    bool swaps = vips_image_get_orientation_swap(image);
    *width = (uint32_t)(swaps ? vips_image_get_height(image) : vips_image_get_width(image));
    *height = (uint32_t)(swaps ? vips_image_get_width(image) : vips_image_get_height(image));
    making->has_profile = vips_image_get_typeof(image, VIPS_META_ICC_NAME) != 0;
    g_object_unref(image);
    if ((uint64_t)*width * *height > job->pixels_in)
        return refuse(making, 413, "", "The original has %llu pixels, which is more than are taken.",
                      (unsigned long long)*width * *height);
    return true;
}

static bool may_be_written(struct making *making, const struct images_plan *plan, enum images_format format)
{
    uint32_t longer = plan->out_width > plan->out_height ? plan->out_width : plan->out_height;
    uint32_t most = format == IMAGES_WEBP   ? WEBP_SIDE_MOST
                    : format == IMAGES_AVIF ? AVIF_SIDE_MOST
                                            : UINT16_MAX;
    const char *parameter = making->job->wish.width != 0 || making->job->wish.height == 0 ? "w" : "h";
    if ((uint64_t)plan->width * plan->height > making->job->pixels_out ||
        (uint64_t)plan->out_width * plan->out_height > making->job->pixels_out)
        return refuse(making, 400, parameter, "This would be a picture with more pixels than are made.");
    if (longer > most)
        return refuse(making, 400, parameter, "This would be a picture of more than %u pixels on a side.",
                      most);
    if (format == IMAGES_AVIF && !has_avif)
        return refuse(making, 400, "fm", "This server cannot write avif.");
    return true;
}

static enum images_format choose_format(const struct images_job *job)
{
    if (job->wish.is_auto && has_avif && (job->wish.takes >> IMAGES_AVIF & 1) != 0)
        return IMAGES_AVIF;
    if (job->wish.is_auto && (job->wish.takes >> IMAGES_WEBP & 1) != 0)
        return IMAGES_WEBP;
    if (job->wish.format != IMAGES_OTHER)
        return job->wish.format;
    return job->format == IMAGES_GIF || (job->format == IMAGES_AVIF && !has_avif) ? IMAGES_PNG : job->format;
}

/*
 * Reads the picture, upright, in that size, in the colours of screens. One without a profile has these
 * already: to have it converted would change them.
 */
static bool read_picture(struct making *making, const void *bytes, uint32_t width, uint32_t height)
{
    VipsImage *next = NULL;
    static const char strict[] =
        "[fail_on=error]";        /* of the loader: nothing is made up for what is missing */
    void *buffer = (void *)bytes; /* which is only read */
    size_t size = making->job->size;
    int failed = making->has_profile
                     ? vips_thumbnail_buffer(buffer, size, &next, (int)width, "height", (int)height, "size",
                                             VIPS_SIZE_FORCE, "option_string", strict, "export_profile",
                                             "srgb", "intent", VIPS_INTENT_RELATIVE, NULL)
                     : vips_thumbnail_buffer(buffer, size, &next, (int)width, "height", (int)height, "size",
                                             VIPS_SIZE_FORCE, "option_string", strict, NULL);
    if (!take(making, failed, &next))
        return false;
    VipsInterpretation now = vips_image_get_interpretation(making->image);
    VipsInterpretation wanted = now == VIPS_INTERPRETATION_B_W || now == VIPS_INTERPRETATION_GREY16
                                    ? VIPS_INTERPRETATION_B_W
                                    : VIPS_INTERPRETATION_sRGB;
    failed = vips_colourspace(making->image, &next, wanted, NULL);
    return take(making, failed, &next);
}

/* What follows looks at pixels in another order than they are read in. */
static bool into_memory(struct making *making)
{
    VipsImage *next = vips_image_copy_memory(making->image);
    return take(making, next == NULL, &next);
}

static bool turn(struct making *making)
{
    static const VipsAngle angles[] = {VIPS_ANGLE_D0, VIPS_ANGLE_D90, VIPS_ANGLE_D180, VIPS_ANGLE_D270};
    const struct images_wish *wish = &making->job->wish;
    VipsImage *next = NULL;
    if (wish->turns == 0 && wish->flip == 0)
        return true;
    if (!into_memory(making))
        return false;
    if (wish->turns != 0 &&
        !take(making, vips_rot(making->image, &next, angles[wish->turns & 3], NULL), &next))
        return false;
    for (unsigned bit = IMAGES_FLIP_ACROSS; bit <= IMAGES_FLIP_DOWN; bit <<= 1) {
        VipsDirection direction =
            bit == IMAGES_FLIP_ACROSS ? VIPS_DIRECTION_HORIZONTAL : VIPS_DIRECTION_VERTICAL;
        if ((wish->flip & bit) != 0 && !take(making, vips_flip(making->image, &next, direction, NULL), &next))
            return false;
    }
    return true;
}

static bool cut(struct making *making, const struct images_plan *plan)
{
    VipsImage *next = NULL;
    int failed;
    if (plan->part_width == plan->width && plan->part_height == plan->height)
        return true;
    if (plan->chooses) {
        VipsInteresting by = (making->job->wish.crop & IMAGES_CROP_ENTROPY) != 0 ? VIPS_INTERESTING_ENTROPY
                                                                                 : VIPS_INTERESTING_ATTENTION;
        if (!into_memory(making))
            return false;
        failed = vips_smartcrop(making->image, &next, (int)plan->part_width, (int)plan->part_height,
                                "interesting", by, NULL);
    } else {
        failed = vips_extract_area(making->image, &next, (int)plan->left, (int)plan->top,
                                   (int)plan->part_width, (int)plan->part_height, NULL);
    }
    return take(making, failed, &next);
}

/* Has the same function as vips_gaussblur, at about the same cost whatever the width. */
static bool blur_opaque(struct making *making, double sigma)
{
    double factor = sigma / widest_blur, width = vips_image_get_width(making->image),
           height = vips_image_get_height(making->image);
    VipsImage *next = NULL;
    if (factor <= 1)
        return take(making, vips_gaussblur(making->image, &next, sigma, NULL), &next);
    if (factor > width / 4)
        factor = width / 4;
    if (factor > height / 4)
        factor = height / 4;
    if (factor > 1 &&
        !take(making, vips_resize(making->image, &next, 1 / factor, "kernel", VIPS_KERNEL_LINEAR, NULL),
              &next))
        return false;
    double across = width / vips_image_get_width(making->image),
           down = height / vips_image_get_height(making->image);
    if (!into_memory(making) ||
        !take(making, vips_gaussblur(making->image, &next, sigma / (factor > 1 ? factor : 1), NULL), &next))
        return false;
    return factor <= 1 ||
           take(making,
                vips_resize(making->image, &next, across, "vscale", down, "kernel", VIPS_KERNEL_CUBIC, NULL),
                &next);
}

/* What cannot be seen has no colour that could run into what can. */
static bool blur(struct making *making)
{
    double sigma = making->job->wish.blur / 3.0;
    VipsImage *next = NULL;
    if (making->job->wish.blur == 0)
        return true;
    if (!vips_image_hasalpha(making->image))
        return blur_opaque(making, sigma);
    if (!take(making, vips_premultiply(making->image, &next, NULL), &next) || !blur_opaque(making, sigma))
        return false;
    if (!take(making, vips_unpremultiply(making->image, &next, NULL), &next))
        return false;
    return take(making, vips_cast_uchar(making->image, &next, NULL), &next);
}

/* The background in as many bands as the picture has: grey ones have one or two. */
static VipsArrayDouble *background_of(const struct making *making)
{
    const struct images_wish *wish = &making->job->wish;
    bool has_alpha = vips_image_hasalpha(making->image);
    int bands = vips_image_get_bands(making->image);
    uint32_t colour = wish->has_background ? wish->background : has_alpha ? 0x00ffffff : 0xffffffff;
    double values[4] = {colour >> 16 & 255, colour >> 8 & 255, colour & 255, colour >> 24};
    if (bands == 2)
        values[1] = values[3];
    return vips_array_double_new(values, bands < 4 ? bands : 4);
}

/* Grey has to become colour where the background has some, and opaque what lets it through. */
static bool prepare_for_background(struct making *making)
{
    const struct images_wish *wish = &making->job->wish;
    VipsImage *next = NULL;
    if (wish->has_background && vips_image_get_bands(making->image) < 3 &&
        !take(making, vips_colourspace(making->image, &next, VIPS_INTERPRETATION_sRGB, NULL), &next))
        return false;
    if (wish->has_background && wish->background >> 24 != 255 && !vips_image_hasalpha(making->image))
        return take(making, vips_addalpha(making->image, &next, NULL), &next);
    return true;
}

static bool fill(struct making *making, const struct images_plan *plan)
{
    VipsImage *next = NULL;
    if (plan->out_width == plan->part_width && plan->out_height == plan->part_height)
        return true;
    if (!prepare_for_background(making))
        return false;
    VipsArrayDouble *background = background_of(making);
    int failed =
        vips_embed(making->image, &next, (int)plan->out_left, (int)plan->out_top, (int)plan->out_width,
                   (int)plan->out_height, "extend", VIPS_EXTEND_BACKGROUND, "background", background, NULL);
    vips_area_unref(VIPS_AREA(background));
    return take(making, failed, &next);
}

/* JPEG has no transparency; elsewhere it stays where no background is wanted. */
static bool flatten(struct making *making, enum images_format format)
{
    const struct images_wish *wish = &making->job->wish;
    VipsImage *next = NULL;
    bool is_opaque = wish->has_background && wish->background >> 24 == 255;
    if (!vips_image_hasalpha(making->image) || (format != IMAGES_JPEG && !is_opaque))
        return true;
    if (!prepare_for_background(making))
        return false;
    uint32_t colour = wish->has_background ? wish->background : 0xffffffff;
    double values[3] = {colour >> 16 & 255, colour >> 8 & 255, colour & 255};
    VipsArrayDouble *background =
        vips_array_double_new(values, vips_image_get_bands(making->image) == 2 ? 1 : 3);
    int failed = vips_flatten(making->image, &next, "background", background, NULL);
    vips_area_unref(VIPS_AREA(background));
    return take(making, failed, &next);
}

/* Writing */

static void on_progress(VipsImage *image, VipsProgress *progress, void *data)
{
    (void)progress;
    if (!helpers_is_wanted(((const struct making *)data)->call->socket))
        vips_image_set_kill(image, TRUE);
}

static int encode(VipsImage *image, enum images_format format, int quality, void **bytes, size_t *len)
{
    int q = quality != 0 ? quality : format == IMAGES_AVIF ? 50 : 75;
    switch (format) {
    case IMAGES_PNG:
        return vips_pngsave_buffer(image, bytes, len, "compression", PNG_COMPRESSION, "strip", TRUE, NULL);
    case IMAGES_WEBP:
        return vips_webpsave_buffer(image, bytes, len, "Q", q, "effort", WEBP_EFFORT, "strip", TRUE, NULL);
    case IMAGES_AVIF:
        return vips_heifsave_buffer(image, bytes, len, "Q", q, "compression",
                                    VIPS_FOREIGN_HEIF_COMPRESSION_AV1, "effort", AVIF_EFFORT, "strip", TRUE,
                                    NULL);
    default:
        return vips_jpegsave_buffer(image, bytes, len, "Q", q, "strip", TRUE, NULL);
    }
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t wrote = pwrite(fd, bytes + at, len - at, (off_t)at);
        if (wrote <= 0)
            return false;
        at += (size_t)wrote;
    }
    return true;
}

/* All that was only planned up to here is done now. */
static bool write_picture(struct making *making, enum images_format format)
{
    struct images_result *result = making->result;
    void *bytes = NULL;
    size_t len = 0;
    vips_image_set_progress(making->image, TRUE);
    g_signal_connect(making->image, "eval", G_CALLBACK(on_progress), making);
    if (encode(making->image, format, making->job->wish.quality, &bytes, &len) != 0)
        return refuse_broken(making);
    bool is_written = write_all(making->call->out, bytes, len);
    g_free(bytes);
    if (!is_written)
        return refuse(making, 500, "", "The picture could not be kept.");
    *result = (struct images_result){.status = 200,
                                     .format = (uint8_t)format,
                                     .size = len,
                                     .width = (uint32_t)vips_image_get_width(making->image),
                                     .height = (uint32_t)vips_image_get_height(making->image)};
    return true;
}

static bool make(struct making *making, const void *bytes)
{
    const struct images_wish *wish = &making->job->wish;
    enum images_format format = choose_format(making->job);
    struct images_plan plan;
    uint32_t width = 0, height = 0;
    if (!read_header(making, bytes, &width, &height))
        return false;
    bool swaps = (wish->turns & 1) != 0;
    images_plan(&plan, wish, swaps ? height : width, swaps ? width : height);
    return may_be_written(making, &plan, format) &&
           read_picture(making, bytes, swaps ? plan.height : plan.width, swaps ? plan.width : plan.height) &&
           turn(making) && cut(making, &plan) && blur(making) && fill(making, &plan) &&
           flatten(making, format) && write_picture(making, format);
}

size_t imaging_work(const struct helpers_call *call, void *answer, size_t size)
{
    struct images_result result = {.status = 500, .detail = "The picture could not be made."};
    struct images_job job;
    (void)size;
    if (call->len == sizeof(job)) {
        memcpy(&job, call->job, sizeof(job));
        struct making making = {.call = call, .job = &job, .result = &result};
        void *bytes = mmap(NULL, job.size, PROT_READ, MAP_PRIVATE, call->in, 0);
        if (bytes != MAP_FAILED) {
            make(&making, bytes);
            if (making.image != NULL)
                g_object_unref(making.image);
            munmap(bytes, job.size);
        }
        vips_error_clear();
    }
    memcpy(answer, &result, sizeof(result));
    return sizeof(result);
}

/* Beginning */

/* The one of the library's modules that is wanted: others can read what nobody is to send. */
static void load_avif(void)
{
    char *path =
        g_strdup_printf("%s/vips-modules-%d.%d/vips-heif.so", VIPS_LIBDIR, vips_version(0), vips_version(1));
    if (vips_type_find("VipsOperation", "heifload_buffer") == 0 &&
        g_module_open(path, G_MODULE_BIND_LAZY) == NULL)
        log_debug("there is no AVIF: %s", g_module_error());
    g_free(path);
}

static void allow_loaders(void)
{
    static const char *const loaders[] = {"VipsForeignLoadJpeg", "VipsForeignLoadPng", "VipsForeignLoadWebp",
                                          "VipsForeignLoadNsgif", "VipsForeignLoadHeif"};
    vips_operation_block_set("VipsForeignLoad", TRUE);
    for (size_t i = 0; i < sizeof(loaders) / sizeof(loaders[0]); i++)
        vips_operation_block_set(loaders[i], FALSE);
}

/* Makes a picture of each format, and reads it, so that all is loaded that will be used. */
static void warm_up(void)
{
    static const enum images_format formats[] = {IMAGES_JPEG, IMAGES_PNG, IMAGES_WEBP, IMAGES_AVIF};
    VipsImage *black = NULL, *image = NULL, *read = NULL;
    if (vips_black(&black, 64, 64, "bands", 3, NULL) != 0 || vips_gaussblur(black, &image, 2, NULL) != 0)
        log_fatalx("libvips does not work: %s", vips_error_buffer());
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        void *bytes = NULL;
        size_t len = 0;
        bool is_good = encode(image, formats[i], 0, &bytes, &len) == 0 &&
                       vips_thumbnail_buffer(bytes, len, &read, 16, "export_profile", "srgb", NULL) == 0 &&
                       vips_image_wio_input(read) == 0;
        if (formats[i] == IMAGES_AVIF)
            has_avif = is_good;
        else if (!is_good)
            log_fatalx("libvips cannot make %s: %s", images_params_type(formats[i]).base,
                       vips_error_buffer());
        if (read != NULL)
            g_object_unref(read);
        read = NULL;
        g_free(bytes);
        vips_error_clear();
    }
    g_object_unref(image);
    g_object_unref(black);
}

static void note_message(const gchar *domain, GLogLevelFlags level, const gchar *message, gpointer data)
{
    (void)data;
    if ((level & G_LOG_LEVEL_MASK) < G_LOG_LEVEL_INFO)
        log_debug("%s: %s", domain == NULL ? "library" : domain, message);
}

void imaging_begin(void)
{
    g_setenv("VIPSHOME", "/nonexistent", TRUE); /* no modules but what load_avif loads */
    g_log_set_default_handler(note_message, NULL);
    if (VIPS_INIT("hayfork-images") != 0)
        log_fatalx("libvips cannot begin: %s", vips_error_buffer());
    vips_concurrency_set(1); /* there are as many helpers as cores */
    vips_cache_set_max(0);
    load_avif();
    allow_loaders();
    warm_up();
}
