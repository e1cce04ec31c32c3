// libshotstream_trt: the nodes shotstream::RopeCacheWrite and shotstream::CacheAttention for trtexec and C++ hosts.
//
//   trtexec --onnx=step.onnx --dynamicPlugins=libshotstream_trt.so
//
// or IPluginRegistry::loadLibrary. Thin over the launch functions; needs no symbol of TensorRT, so nothing is linked.
// Compiled against the public headers of TensorRT; shapes: L tokens, N heads, D head size.
#include <NvInferRuntime.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "shotstream/cuda_ops.h"

using namespace nvinfer1;

namespace shotstream {
namespace {

constexpr char kNamespace[] = "shotstream";
constexpr char kVersion[] = "1";
constexpr int32_t kFailed = 1;

ILoggerFinder* logger_finder = nullptr;

void report(const std::string& message) noexcept {
    ILogger* logger = logger_finder ? logger_finder->findLogger() : nullptr;
    if (logger) logger->log(ILogger::Severity::kERROR, ("shotstream: " + message).c_str());
}

// Attributes of a node; stored in the engine.
struct Values {
    int32_t layer = -1;
    int32_t num_heads = 0;
    float eps = 0.f;
};

// The fields of a node: their names and types for the parser, or with the addresses of values that outlive them.
struct Fields {
    std::array<PluginField, 3> fields;
    PluginFieldCollection collection;

    Fields(int32_t count, const Values* values)
        : fields{PluginField("layer", values ? &values->layer : nullptr, PluginFieldType::kINT32, values ? 1 : 0),
                 PluginField("num_heads", values ? &values->num_heads : nullptr, PluginFieldType::kINT32,
                             values ? 1 : 0),
                 PluginField("eps", values ? &values->eps : nullptr, PluginFieldType::kFLOAT32, values ? 1 : 0)},
          collection{count, fields.data()} {}
    Fields(const Fields&) = delete;
    Fields& operator=(const Fields&) = delete;
};

std::optional<ShsElement> element_of(DataType type) {
    switch (type) {
        case DataType::kFLOAT: return SHS_FLOAT32;
        case DataType::kHALF: return SHS_FLOAT16;
        case DataType::kBF16: return SHS_BFLOAT16;
        default: return std::nullopt;
    }
}

CUstream_st* stream_of(cudaStream_t stream) { return stream; }

ShsCachePlace place_of(const void* descriptor, const void* state, int32_t layer) {
    return {static_cast<const int64_t*>(descriptor) + 2 * static_cast<int64_t>(layer),
            static_cast<const int32_t*>(state)};
}

// A node's kind: its name, its tensors, and its launch.
struct RopeCacheWrite {
    static constexpr char kName[] = "RopeCacheWrite";
    static constexpr int32_t kNumFields = 3, kNumInputs = 8, kNumOutputs = 2;

    // Type of a tensor by its position; none: that of the first input.
    static std::optional<DataType> fixed_type(int32_t position) {
        if (position == 5) return DataType::kFLOAT;
        if (position == 6) return DataType::kINT64;
        if (position == 7) return DataType::kINT32;
        return std::nullopt;
    }

    static void output_shape(const DimsExprs& q, const Values& values, DimsExprs& output, IExprBuilder& builder) {
        output.nbDims = 3;
        output.d[0] = q.d[0];
        output.d[1] = builder.constant(values.num_heads);
        output.d[2] = builder.operation(DimensionOperation::kFLOOR_DIV, *q.d[1], *output.d[1]);
    }

    static int launch(const Values& values, ShsElement element, const Dims&, const Dims& output, const void* const* in,
                      void* const* out, cudaStream_t stream) {
        const RopeCacheWriteParams params{in[0],
                                          in[1],
                                          in[2],
                                          in[3],
                                          in[4],
                                          static_cast<const float*>(in[5]),
                                          place_of(in[6], in[7], values.layer),
                                          out[0],
                                          out[1],
                                          output.d[0],
                                          output.d[1],
                                          output.d[2],
                                          values.eps,
                                          element};
        return shs_launch_rope_cache_write(&params, stream_of(stream));
    }
};

struct CacheAttention {
    static constexpr char kName[] = "CacheAttention";
    static constexpr int32_t kNumFields = 2, kNumInputs = 4, kNumOutputs = 1;

    static std::optional<DataType> fixed_type(int32_t position) {
        if (position == 2) return DataType::kINT64;
        if (position == 3) return DataType::kINT32;
        return std::nullopt;
    }

    static void output_shape(const DimsExprs& q_local, const Values&, DimsExprs& output, IExprBuilder&) {
        output = q_local;
    }

    static int launch(const Values& values, ShsElement element, const Dims& input, const Dims&, const void* const* in,
                      void* const* out, cudaStream_t stream) {
        const float scale = 1.f / std::sqrt(static_cast<float>(input.d[2]));
        const CacheAttentionParams params{in[0],      in[1],      place_of(in[2], in[3], values.layer),
                                          out[0],     input.d[0], input.d[1],
                                          input.d[2], scale,      element};
        return shs_launch_cache_attention(&params, stream_of(stream));
    }
};

template <typename Node>
class Plugin final : public IPluginV3, public IPluginV3OneCore, public IPluginV3OneBuild, public IPluginV3OneRuntime {
public:
    explicit Plugin(const Values& values) : values_(values), fields_(Node::kNumFields, &values_) {}

    IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept override {
        switch (type) {
            case PluginCapabilityType::kCORE: return static_cast<IPluginV3OneCore*>(this);
            case PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild*>(this);
            case PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime*>(this);
        }
        return nullptr;
    }

    IPluginV3* clone() noexcept override {
        try {
            return new Plugin(values_);
        } catch (const std::exception& error) {
            report(error.what());
            return nullptr;
        }
    }

    const char* getPluginName() const noexcept override { return Node::kName; }
    const char* getPluginVersion() const noexcept override { return kVersion; }
    const char* getPluginNamespace() const noexcept override { return kNamespace; }
    int32_t getNbOutputs() const noexcept override { return Node::kNumOutputs; }

    int32_t getOutputDataTypes(DataType* outputs, int32_t num_outputs, const DataType* inputs,
                               int32_t num_inputs) const noexcept override {
        if (!counts_fit(num_inputs, num_outputs)) return kFailed;
        for (int32_t i = 0; i < num_outputs; ++i) outputs[i] = inputs[0];
        return 0;
    }

    int32_t getOutputShapes(const DimsExprs* inputs, int32_t num_inputs, const DimsExprs*, int32_t, DimsExprs* outputs,
                            int32_t num_outputs, IExprBuilder& builder) noexcept override {
        if (!counts_fit(num_inputs, num_outputs)) return kFailed;
        for (int32_t i = 0; i < num_outputs; ++i) Node::output_shape(inputs[0], values_, outputs[i], builder);
        return 0;
    }

    bool supportsFormatCombination(int32_t position, const DynamicPluginTensorDesc* tensors, int32_t num_inputs,
                                   int32_t num_outputs) noexcept override {
        if (!counts_fit(num_inputs, num_outputs)) return false;
        const PluginTensorDesc& tensor = tensors[position].desc;
        if (tensor.format != TensorFormat::kLINEAR) return false;
        if (const auto fixed = Node::fixed_type(position)) return tensor.type == *fixed;
        return position == 0 ? element_of(tensor.type).has_value() : tensor.type == tensors[0].desc.type;
    }

    int32_t configurePlugin(const DynamicPluginTensorDesc*, int32_t num_inputs, const DynamicPluginTensorDesc*,
                            int32_t num_outputs) noexcept override {
        return counts_fit(num_inputs, num_outputs) ? 0 : kFailed;
    }

    int32_t onShapeChange(const PluginTensorDesc*, int32_t num_inputs, const PluginTensorDesc*,
                          int32_t num_outputs) noexcept override {
        return counts_fit(num_inputs, num_outputs) ? 0 : kFailed;
    }

    int32_t enqueue(const PluginTensorDesc* in_desc, const PluginTensorDesc* out_desc, const void* const* in,
                    void* const* out, void*, cudaStream_t stream) noexcept override {
        const auto element = element_of(in_desc[0].type);
        if (!element) return kFailed;
        const int code = Node::launch(values_, *element, in_desc[0].dims, out_desc[0].dims, in, out, stream);
        if (code == 0) return 0;
        report(std::string(Node::kName) + " of layer " + std::to_string(values_.layer) +
               " was not launched: CUDA error " + std::to_string(code));
        return kFailed;
    }

    IPluginV3* attachToContext(IPluginResourceContext*) noexcept override { return clone(); }
    const PluginFieldCollection* getFieldsToSerialize() noexcept override { return &fields_.collection; }

private:
    static bool counts_fit(int32_t num_inputs, int32_t num_outputs) {
        return num_inputs == Node::kNumInputs && num_outputs == Node::kNumOutputs;
    }

    Values values_;
    Fields fields_;  // points into values_
};

template <typename T>
bool take(const PluginField& field, const char* name, PluginFieldType type, T& value) {
    if (std::strcmp(field.name, name) != 0 || field.type != type || field.length != 1 || !field.data) return false;
    std::memcpy(&value, field.data, sizeof value);
    return true;
}

template <typename Node>
class Creator final : public IPluginCreatorV3One {
public:
    IPluginV3* createPlugin(const char* name, const PluginFieldCollection* given,
                            TensorRTPhase) noexcept override {
        try {
            Values values;
            int32_t num_found = 0;
            for (int32_t i = 0; i < given->nbFields; ++i) {
                const PluginField& field = given->fields[i];
                num_found += take(field, "layer", PluginFieldType::kINT32, values.layer) ||
                             take(field, "num_heads", PluginFieldType::kINT32, values.num_heads) ||
                             (Node::kNumFields == 3 && take(field, "eps", PluginFieldType::kFLOAT32, values.eps));
            }
            const bool is_valid = values.layer >= 0 && values.num_heads > 0 && (Node::kNumFields < 3 || values.eps > 0);
            if (num_found == Node::kNumFields && is_valid) return new Plugin<Node>(values);
            report(std::string(Node::kName) + " '" + name + "': needs layer >= 0, num_heads > 0" +
                   (Node::kNumFields == 3 ? ", eps > 0" : ""));
        } catch (const std::exception& error) {
            report(error.what());
        }
        return nullptr;
    }

    const PluginFieldCollection* getFieldNames() noexcept override { return &names_.collection; }
    const char* getPluginName() const noexcept override { return Node::kName; }
    const char* getPluginVersion() const noexcept override { return kVersion; }
    const char* getPluginNamespace() const noexcept override { return kNamespace; }

private:
    Fields names_{Node::kNumFields, nullptr};
};

}  // namespace
}  // namespace shotstream

// The two names that TensorRT looks up; everything else is hidden.
#ifdef _WIN32
#define SHS_EXPORT __declspec(dllexport)
#else
#define SHS_EXPORT __attribute__((visibility("default")))
#endif

extern "C" SHS_EXPORT void setLoggerFinder(ILoggerFinder* finder) { shotstream::logger_finder = finder; }

extern "C" SHS_EXPORT IPluginCreatorInterface* const* getCreators(int32_t& num_creators) {
    static shotstream::Creator<shotstream::RopeCacheWrite> rope_cache_write;
    static shotstream::Creator<shotstream::CacheAttention> cache_attention;
    static IPluginCreatorInterface* const creators[] = {&rope_cache_write, &cache_attention};
    num_creators = 2;
    return creators;
}
