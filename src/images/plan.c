/* plan.c: from the size of an original and what is wanted to what has to be done. */
#include "images/plan.h"

enum { SIDE_MOST = 1 << 24 }; /* further than any bound: nothing overflows below */

/* a * b / c, rounded, and never 0. */
static uint32_t scale(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t scaled = (a * b + c / 2) / c;
    return scaled == 0 ? 1 : scaled > SIDE_MOST ? SIDE_MOST : (uint32_t)scaled;
}

/* What is wanted in pixels; 0 where it is not said. */
static uint32_t in_pixels(uint32_t side, uint16_t ratio)
{
    return side == 0 || ratio == 0 ? side : scale(side, ratio, 100);
}

struct size {
    uint32_t width, height;
};

/* The largest size in the proportions of `of` that lies within a frame. */
static struct size within(struct size of, struct size frame)
{
    if ((uint64_t)frame.width * of.height <= (uint64_t)frame.height * of.width)
        return (struct size){frame.width, scale(of.height, frame.width, of.width)};
    return (struct size){scale(of.width, frame.height, of.height), frame.height};
}

/* The smallest that leaves nothing of the frame free. */
static struct size around(struct size of, struct size frame)
{
    if ((uint64_t)frame.width * of.height >= (uint64_t)frame.height * of.width)
        return (struct size){frame.width, scale(of.height, frame.width, of.width)};
    return (struct size){scale(of.width, frame.height, of.height), frame.height};
}

static bool is_larger(struct size a, struct size b)
{
    return a.width > b.width || a.height > b.height;
}

/* Where the part is: between 0 and rest. */
static uint32_t place(uint32_t rest, bool at_begin, bool at_end)
{
    return at_begin ? 0 : at_end ? rest : rest / 2;
}

static void cut(struct images_plan *plan, uint8_t crop, struct size part)
{
    plan->part_width = part.width;
    plan->part_height = part.height;
    plan->left = place(plan->width - part.width, crop & IMAGES_CROP_LEFT, crop & IMAGES_CROP_RIGHT);
    plan->top = place(plan->height - part.height, crop & IMAGES_CROP_TOP, crop & IMAGES_CROP_BOTTOM);
    plan->chooses = (crop & (IMAGES_CROP_ENTROPY | IMAGES_CROP_ATTENTION)) != 0 &&
                    (part.width < plan->width || part.height < plan->height);
}

void images_plan(struct images_plan *plan, const struct images_wish *wish, uint32_t width, uint32_t height)
{
    struct size original = {width, height}, all = original, part;
    struct size frame = {in_pixels(wish->width, wish->ratio), in_pixels(wish->height, wish->ratio)};
    bool is_whole = frame.width != 0 && frame.height != 0; /* else the other side follows */
    bool cuts = is_whole && (wish->fit == IMAGES_CROP || wish->fit == IMAGES_MIN);
    if (frame.width == 0 && frame.height != 0)
        frame.width = scale(width, frame.height, height);
    if (frame.height == 0 && frame.width != 0)
        frame.height = scale(height, frame.width, width);
    if (frame.width == 0)
        frame = original;
    if (cuts && wish->fit == IMAGES_MIN && is_larger(frame, original))
        frame = within(frame, original);
    if (wish->fit == IMAGES_SCALE)
        all = frame;
    else
        all = cuts ? around(original, frame) : within(original, frame);
    if ((wish->fit == IMAGES_MAX || wish->fit == IMAGES_MIN) && !cuts && is_larger(all, original))
        all = original;
    part = cuts ? frame : all;
    *plan = (struct images_plan){.width = all.width, .height = all.height};
    cut(plan, wish->crop, part);
    bool fills = is_whole && wish->fit == IMAGES_FILL;
    plan->out_width = fills ? frame.width : part.width;
    plan->out_height = fills ? frame.height : part.height;
    plan->out_left = (plan->out_width - part.width) / 2;
    plan->out_top = (plan->out_height - part.height) / 2;
}
