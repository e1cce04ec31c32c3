/* Numbers of pixel formats, origins and colour spaces, as they stand in shared memory and in the C interface. C99.
 * Never renumbered. */
#ifndef SHOTSTREAM_PIXEL_FORMAT_H
#define SHOTSTREAM_PIXEL_FORMAT_H

#define SHS_PIXEL_RGBA8 1u /* bytes R G B A, alpha 255 */
#define SHS_PIXEL_BGRA8 2u /* bytes B G R A, alpha 255 */
#define SHS_PIXEL_RGB8 3u  /* bytes R G B */
#define SHS_PIXEL_NV12 4u  /* plane of Y, then plane of Cb Cr pairs at half size; even width and height */

#define SHS_ORIGIN_TOP_LEFT 1u    /* first row in memory is the top row */
#define SHS_ORIGIN_BOTTOM_LEFT 2u /* first row in memory is the bottom row */

#define SHS_COLOR_SRGB 1u           /* full range, sRGB transfer, BT.709 primaries */
#define SHS_COLOR_REC709_LIMITED 2u /* BT.709 matrix, Y 16..235, Cb and Cr 16..240 */

#endif
