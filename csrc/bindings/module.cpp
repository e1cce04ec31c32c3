// shotstream._native: the list of its families.
#include "bindings.h"

PYBIND11_MODULE(_native, m) {
    m.doc() = "Compiled hot path of shotstream. Takes integer addresses; callers keep the memory alive.";
    m.attr("__version__") = SHOTSTREAM_VERSION;
    shotstream::bind_cuda_ops(m);
    shotstream::bind_denoise(m);
    shotstream::bind_pack(m);
    shotstream::bind_ring(m);
}
