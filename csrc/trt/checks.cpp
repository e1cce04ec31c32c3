// Checks of the plugin library on the host: its calls go through TensorRT's interfaces, and the kernels are replayed.
#include <NvInferRuntime.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "shotstream/cuda_ops.h"

using namespace nvinfer1;

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                                 \
        }                                                                                 \
    } while (0)

extern "C" IPluginCreatorInterface* const* getCreators(int32_t& num_creators);
extern "C" void setLoggerFinder(ILoggerFinder* finder);

// In place of the launches on a GPU.
static int next_error = 0;
int shs_launch_rope_cache_write(const RopeCacheWriteParams* params, CUstream_st*) {
    return next_error ? next_error : shs_replay_rope_cache_write(params);
}
int shs_launch_cache_attention(const CacheAttentionParams* params, CUstream_st*) {
    return next_error ? next_error : shs_replay_cache_attention(params);
}

namespace {

struct Log final : ILogger, ILoggerFinder {
    std::string last;
    void log(Severity, const char* message) noexcept override { last = message; }
    ILogger* findLogger() noexcept override { return this; }
};

constexpr int64_t kTokens = 5, kHeads = 2, kHeadDim = 6, kRows = 14, kWidth = kHeads * kHeadDim;

using Plugin = std::unique_ptr<IPluginV3>;

template <typename T>
T* part(const Plugin& plugin, PluginCapabilityType type) {
    auto* found = static_cast<T*>(plugin->getCapabilityInterface(type));
    CHECK(found != nullptr);
    return found;
}

IPluginCreatorV3One& creator(const char* name) {
    int32_t count = 0;
    IPluginCreatorInterface* const* creators = getCreators(count);
    CHECK(count == 2);
    for (int32_t i = 0; i < count; ++i) {
        CHECK(std::strcmp(creators[i]->getInterfaceInfo().kind, "PLUGIN CREATOR_V3ONE") == 0);
        auto* one = static_cast<IPluginCreatorV3One*>(creators[i]);
        CHECK(std::strcmp(one->getPluginNamespace(), "shotstream") == 0);
        CHECK(std::strcmp(one->getPluginVersion(), "1") == 0);
        if (std::strcmp(one->getPluginName(), name) == 0) return *one;
    }
    CHECK(!"a creator of that name");
    std::abort();
}

Plugin made(const char* name, int32_t layer, int32_t num_heads, float eps) {
    const PluginField fields[] = {{"layer", &layer, PluginFieldType::kINT32, 1},
                                  {"num_heads", &num_heads, PluginFieldType::kINT32, 1},
                                  {"eps", &eps, PluginFieldType::kFLOAT32, 1}};
    const PluginFieldCollection given{creator(name).getFieldNames()->nbFields, fields};
    return Plugin(creator(name).createPlugin("node", &given, TensorRTPhase::kBUILD));
}

// Stored in an engine and read again, then cloned.
Plugin through_a_file(const char* name, const Plugin& plugin) {
    auto* runtime = part<IPluginV3OneRuntime>(plugin, PluginCapabilityType::kRUNTIME);
    const PluginFieldCollection* stored = runtime->getFieldsToSerialize();
    const Plugin read(creator(name).createPlugin("node", stored, TensorRTPhase::kRUNTIME));
    CHECK(read != nullptr);
    return Plugin(part<IPluginV3OneRuntime>(read, PluginCapabilityType::kRUNTIME)->attachToContext(nullptr));
}

PluginTensorDesc described(DataType type, std::vector<int64_t> sizes) {
    PluginTensorDesc desc{};
    desc.type = type;
    desc.format = TensorFormat::kLINEAR;
    desc.dims.nbDims = static_cast<int32_t>(sizes.size());
    for (size_t i = 0; i < sizes.size(); ++i) desc.dims.d[i] = sizes[i];
    return desc;
}

void check_formats(const Plugin& plugin, std::vector<DataType> types, int32_t num_outputs) {
    auto* build = part<IPluginV3OneBuild>(plugin, PluginCapabilityType::kBUILD);
    CHECK(build->getNbOutputs() == num_outputs);
    const auto count = static_cast<int32_t>(types.size()), num_inputs = count - num_outputs;
    std::vector<DynamicPluginTensorDesc> tensors(types.size());
    for (size_t i = 0; i < types.size(); ++i) tensors[i].desc = described(types[i], {1});
    for (int32_t i = 0; i < count; ++i) {
        auto& desc = tensors[static_cast<size_t>(i)].desc;
        CHECK(build->supportsFormatCombination(i, tensors.data(), num_inputs, num_outputs));
        desc.format = TensorFormat::kCHW32;
        CHECK(!build->supportsFormatCombination(i, tensors.data(), num_inputs, num_outputs));
        desc.format = TensorFormat::kLINEAR;
        const DataType right = desc.type;
        desc.type = DataType::kFP8;
        CHECK(!build->supportsFormatCombination(i, tensors.data(), num_inputs, num_outputs));
        desc.type = right;
    }
    CHECK(!build->supportsFormatCombination(0, tensors.data(), num_inputs - 1, num_outputs));
    CHECK(build->configurePlugin(tensors.data(), num_inputs, tensors.data() + num_inputs, num_outputs) == 0);
    std::vector<DataType> outputs(static_cast<size_t>(num_outputs), DataType::kINT8);
    CHECK(build->getOutputDataTypes(outputs.data(), num_outputs, types.data(), num_inputs) == 0);
    for (DataType type : outputs) CHECK(type == types[0]);
}

std::vector<float> numbers(size_t count, float start) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = std::sin(start + 0.7f * static_cast<float>(i));
    return values;
}

}  // namespace

int main() {
    Log log;
    setLoggerFinder(&log);
    const Plugin rope = through_a_file("RopeCacheWrite", made("RopeCacheWrite", 1, kHeads, 1e-6f));
    const Plugin attention = through_a_file("CacheAttention", made("CacheAttention", 1, kHeads, 1e-6f));
    CHECK(made("RopeCacheWrite", 0, 0, 1e-6f) == nullptr);
    CHECK(log.last.find("num_heads > 0") != std::string::npos);
    CHECK(made("RopeCacheWrite", 0, 1, 0.f) == nullptr && made("CacheAttention", -1, 1, 1.f) == nullptr);

    for (DataType type : {DataType::kFLOAT, DataType::kHALF, DataType::kBF16}) {
        check_formats(rope, {type, type, type, type, type, DataType::kFLOAT, DataType::kINT64, DataType::kINT32, type, type}, 2);
        check_formats(attention, {type, type, DataType::kINT64, DataType::kINT32, type}, 1);
    }
    DimsExprs shape{};
    shape.nbDims = 3;
    DimsExprs same{};
    struct NoExpressions : IExprBuilder {} none;
    auto* build = part<IPluginV3OneBuild>(attention, PluginCapabilityType::kBUILD);
    CHECK(build->getOutputShapes(std::vector<DimsExprs>(4, shape).data(), 4, nullptr, 0, &same, 1, none) == 0);
    CHECK(same.nbDims == 3);

    const auto q = numbers(kTokens * kWidth, 0), k = numbers(kTokens * kWidth, 1), v = numbers(kTokens * kWidth, 2);
    const auto weights = numbers(kWidth, 3), table = numbers(2 * kTokens * kHeadDim, 4);
    auto cache = numbers(2 * kRows * kWidth, 5), want_cache = cache;
    const int32_t state[5] = {7, 4, 7, kTokens, 1};
    const auto address = [](const float* at) { return static_cast<int64_t>(reinterpret_cast<intptr_t>(at)); };
    // The first layer has no cache: a plugin that read its row would write nothing.
    const int64_t descriptor[4] = {0, 0, address(cache.data()), address(cache.data() + kRows * kWidth)};
    const int64_t want_place[2] = {address(want_cache.data()), address(want_cache.data() + kRows * kWidth)};
    std::vector<float> local(kTokens * kWidth), context(local), out(local);
    auto want_local = local, want_context = local, want_out = local;

    const DataType f = DataType::kFLOAT;
    const PluginTensorDesc flat = described(f, {kTokens, kWidth}), heads = described(f, {kTokens, kHeads, kHeadDim});
    const void* rope_in[] = {q.data(), k.data(), v.data(), weights.data(), weights.data(), table.data(), descriptor, state};
    void* rope_out[] = {local.data(), context.data()};
    const void* attention_in[] = {local.data(), context.data(), descriptor, state};
    void* attention_out[] = {out.data()};
    auto* run_rope = part<IPluginV3OneRuntime>(rope, PluginCapabilityType::kRUNTIME);
    auto* run_attention = part<IPluginV3OneRuntime>(attention, PluginCapabilityType::kRUNTIME);
    CHECK(run_rope->onShapeChange(&flat, 8, &heads, 2) == 0 && run_rope->onShapeChange(&flat, 7, &heads, 2) != 0);
    CHECK(run_rope->enqueue(&flat, &heads, rope_in, rope_out, nullptr, nullptr) == 0);
    CHECK(run_attention->enqueue(&heads, &heads, attention_in, attention_out, nullptr, nullptr) == 0);

    const ShsCachePlace place{want_place, state};
    const RopeCacheWriteParams rope_params{q.data(), k.data(), v.data(), weights.data(), weights.data(), table.data(),
                                           place, want_local.data(), want_context.data(), kTokens, kHeads, kHeadDim,
                                           1e-6f, SHS_FLOAT32};
    CHECK(shs_replay_rope_cache_write(&rope_params) == 0);
    const CacheAttentionParams attention_params{want_local.data(), want_context.data(), place, want_out.data(), kTokens,
                                                kHeads, kHeadDim, 1.f / std::sqrt(6.f), SHS_FLOAT32};
    CHECK(shs_replay_cache_attention(&attention_params) == 0);
    CHECK(local == want_local && context == want_context && out == want_out && cache == want_cache);
    CHECK(local != context && out[0] == out[0]);

    next_error = 98;
    CHECK(run_attention->enqueue(&heads, &heads, attention_in, attention_out, nullptr, nullptr) != 0);
    CHECK(log.last.find("CacheAttention of layer 1 was not launched: CUDA error 98") != std::string::npos);
    const PluginTensorDesc bytes = described(DataType::kINT8, {kTokens, kWidth});
    CHECK(run_rope->enqueue(&bytes, &heads, rope_in, rope_out, nullptr, nullptr) != 0);
    std::puts("plugins: all checks passed");
    return 0;
}
