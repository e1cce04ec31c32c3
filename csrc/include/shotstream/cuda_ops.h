/* Launch functions of the denoising loop's kernels. Plain structs of addresses and sizes: no PyTorch, no TensorRT.
 *
 * Everything that changes from pass to pass (cache addresses, where to write, what to read) lies in device memory, so a
 * captured CUDA graph serves every block. Nothing here allocates or synchronises.
 */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st; /* cudaStream_t is a pointer to it */

/* Type of queries, keys, values, norm weights and cache. */
typedef enum ShsElement { SHS_FLOAT32 = 0, SHS_FLOAT16 = 1, SHS_BFLOAT16 = 2 } ShsElement;

/* Where a layer's cache is and which of its rows count; both in device memory.
 *
 * The cache is (2, R, N, D): R rows of keys, and right behind them as many of values. An address of 0 means that there
 * is no cache yet (a builder that measures): then nothing but outputs is written. The same holds for addresses and rows
 * that do not fit each other; attention answers them with NaN, which nobody takes for a picture.
 */
typedef struct ShsCachePlace {
    const int64_t* descriptor; /* address of the keys, address of the values */
    const int32_t* state;      /* write_tok, context_tok, local_start_tok, local_tok, split */
} ShsCachePlace;

/* RMS norm over the full width, rotation of adjacent channel pairs, and cache write. Rows are num_heads * head_dim. */
typedef struct RopeCacheWriteParams {
    const void* q;          /* (L, N * D); null when nothing attends */
    const void* k;
    const void* v;
    const void* weight_q;   /* (N * D) */
    const void* weight_k;
    const float* table;     /* (1 or 2, L, D / 2, 2): cosines and sines; the second part is read when state says split */
    ShsCachePlace cache;
    void* q_local;          /* (L, N, D); null when q is */
    void* q_context;        /* (L, N, D); written when state says split, otherwise left as it is */
    int64_t num_tokens;     /* L */
    int64_t num_heads;      /* N */
    int64_t head_dim;       /* D, even */
    float eps;
    int32_t element;        /* ShsElement */
} RopeCacheWriteParams;

/* Attention over the valid context rows and the valid local rows with one softmax and no mask. */
typedef struct CacheAttentionParams {
    const void* q_local;    /* (L, N, D) */
    const void* q_context;  /* (L, N, D); read when state says split, otherwise q_local meets the context as well */
    ShsCachePlace cache;
    void* out;              /* (L, N, D) */
    int64_t num_tokens;
    int64_t num_heads;
    int64_t head_dim;       /* at most 128 */
    float scale;
    int32_t element;
} CacheAttentionParams;

/* Enqueue on a stream. 0, or a cudaError_t: cudaErrorInvalidValue (1) for sizes that the kernel does not take. */
int shs_launch_rope_cache_write(const RopeCacheWriteParams* params, struct CUstream_st* stream);
int shs_launch_cache_attention(const CacheAttentionParams* params, struct CUstream_st* stream);

/* The same kernels' arithmetic and schedule on the host, thread by thread over host addresses. Slow; for tests. */
int shs_replay_rope_cache_write(const RopeCacheWriteParams* params);
int shs_replay_cache_attention(const CacheAttentionParams* params);

#ifdef __cplusplus
}
#endif
