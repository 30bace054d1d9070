// Rolls a perceptron policy forward on a CPU in single precision, without gradients.
//
// The paths of a block are the lanes of a vector: all layers of a day run on them before the next block begins, so that
// hidden units never leave the nearest cache. Each path is decided by itself, in an order of operations that depends
// neither on its block nor on its neighbours. Plain C interface, GCC's vector extensions, nothing but the C library.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#if defined(__AVX512F__)
constexpr int LANES = 16, UNITS = 8, GROUPS = 1;  // the fastest of those that leave registers to the activation
#elif defined(__AVX__)
constexpr int LANES = 8, UNITS = 4, GROUPS = 2;
#elif defined(__aarch64__)
constexpr int LANES = 4, UNITS = 8, GROUPS = 2;
#else
constexpr int LANES = 4, UNITS = 4, GROUPS = 2;
#endif

#if defined(__clang__)
#define UNROLLED _Pragma("unroll")  // else the sums below are kept in memory
#else
#define UNROLLED
#endif

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef uint32_t Whole __attribute__((vector_size(4 * LANES)));
typedef float Four __attribute__((vector_size(16)));

// y = x W + b, and inventory x its own row of weights where there is one; strides are in numbers, not bytes.
struct Dense {
    const float *weight, *bias, *inventory;
    int64_t inputs, outputs;
    int64_t weight_replica, weight_input, weight_output, bias_replica, bias_output;
    int64_t inventory_replica, inventory_output;
};

struct Rollout {
    int64_t steps, replicas, paths;
    const float *features;
    int64_t features_step, features_replica, features_path;
    const float *delta;
    int64_t delta_step, delta_replica, delta_path;
    float *positions;  // contiguous
    int64_t activation, output;
    int64_t first, regime;       // where the features of the body and of the regime begin
    int64_t layers, modulators;  // layers of the body and of the factor; no modulators, no factor
    float mean, deviation;       // of the inventory
    float least, range;          // factor = least + range x sigmoid(2 x)
};

namespace {

enum Activation : int64_t { SILU, RELU };
enum Output : int64_t { RESIDUAL, FREE, BAND, TRADE };

inline Vector all(float value) { return value - Vector{}; }

inline Vector load(const float *from) {
    Vector value;
    memcpy(&value, from, sizeof value);
    return value;
}

inline void store(float *to, Vector value) { memcpy(to, &value, sizeof value); }

// exp(-x), relative error below 4e-7; 2e-38 above 87, infinite below -88.72. Of NaN it may be anything.
inline Vector decay(Vector x) {
    const Vector bounded = x > 87.0f ? all(87.0f) : x;
    const float magic = 12582912.0f;  // 1.5 x 2^23: what is added to it is rounded to a whole number, in its low bits
    const Vector shifted = bounded * -1.44269504f + magic;
    const Vector whole = shifted - magic;
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    const Vector r = bounded + whole * 0.693147182f;
#else
    const Vector r = (bounded + whole * 0.693359375f) - whole * 2.12194440e-4f;  // products without a rounding error
#endif
    Vector p = r * -0.008290272206068039f + 0.04189816117286682f;  // minimax, relative, on +-log(2) / 2
    p = p * r - 0.1666763871908188f;
    p = p * r + 0.4999914765357971f;
    p = p * r - 0.9999997019767761f;
    p = p * r + 1.0f;
    const Vector scaled = (Vector)((Whole)p + ((Whole)shifted << 23));
    return x < -88.7228f ? all(__builtin_inff()) : scaled;
}

inline Vector sigmoid(Vector x) {
    const Vector value = 1.0f / (1.0f + decay(x));
    return x == x ? value : x;
}

// log(1 + exp(x)) = max(x, 0) + log(1 + u), u = exp(-|x|); log(1 + u) = 2 artanh(u / (2 + u))
inline Vector softplus(Vector x) {
    const Vector u = decay(x < 0.0f ? -x : x);
    const Vector s = u / (2.0f + u), square = s * s;
    Vector p = square * 0.1401224136352539f + 0.13999567925930023f;
    p = p * square + 0.20010849833488464f;
    p = p * square + 0.3333320617675781f;
    const Vector value = (x < 0.0f ? all(0.0f) : x) + ((s + s) + (s + s) * square * p);
    return x == x ? value : x;
}

// NaN on either side stays.
inline Vector larger(Vector a, Vector b) {
    const Vector more = a > b ? a : b;
    return a == a ? more : a;
}

struct Silu {
    Vector operator()(Vector x, Vector) const { return x / (1.0f + decay(x)); }
};

struct Relu {
    Vector operator()(Vector x, Vector) const { return x < 0.0f ? all(0.0f) : x; }
};

struct Modulate {
    float least, range;
    Vector operator()(Vector x, Vector unit) const { return unit * (least + range * sigmoid(x + x)); }
};

// One layer, whose weights it steps over; UNITS outputs at a time stay in registers. `y` may hold what `finish` needs.
template <int groups, class Finish>
inline void dense(const Dense &layer, const float *&weights, const float *x, float *y, Finish finish) {
    constexpr int sums = UNITS * groups;
    const int64_t inputs = layer.inputs + (layer.inventory != nullptr);
    const float *weight = weights;
    for (int64_t first = 0; first < layer.outputs; first += UNITS, y += sums * LANES) {
        Vector sum[sums];
        for (int one = 0; one < sums; one++) sum[one] = all(weight[one / groups]);
        weight += UNITS;
        for (int64_t input = 0; input < inputs; input++, weight += UNITS) {
            Vector value[groups];
            for (int group = 0; group < groups; group++) value[group] = load(x + (input * groups + group) * LANES);
            for (int one = 0; one < sums; one++) sum[one] += value[one % groups] * weight[one / groups];
        }
        UNROLLED for (int one = 0; one < sums; one++)
            store(y + one * LANES, finish(sum[one], load(y + one * LANES)));
    }
    weights = weight;
}

inline int64_t padded(int64_t outputs) { return (outputs + UNITS - 1) / UNITS * UNITS; }

// By blocks of outputs: their biases, then their weights by input, the inventory last; zeros fill the last block.
template <int block>
float *pack(const Dense &layer, int64_t replica, float *to) {
    const float *weight = layer.weight + replica * layer.weight_replica;
    const float *bias = layer.bias + replica * layer.bias_replica;
    const float *inventory = layer.inventory ? layer.inventory + replica * layer.inventory_replica : nullptr;
    for (int64_t first = 0; first < layer.outputs; first += block) {
        const auto row = [&](const float *from, int64_t stride) {
            for (int64_t unit = first; unit < first + block; unit++)
                *to++ = unit < layer.outputs ? from[unit * stride] : 0.0f;
        };
        row(bias, layer.bias_output);
        for (int64_t input = 0; input < layer.inputs; input++)
            row(weight + input * layer.weight_input, layer.weight_output);
        if (inventory) row(inventory, layer.inventory_output);
    }
    return to;
}

// Features of `count` paths into lanes, four by four; lanes without a path hold zeros.
template <int groups>
inline void spread(const float *from, int64_t stride, int64_t features, int64_t count, float *to) {
    constexpr int width = groups * LANES;
    if (count < width) memset(to, 0, sizeof(float) * features * width);
    for (int64_t path = 0; path < count; path += 4, from += 4 * stride, to += 4) {
        int64_t feature = 0;
        if (count - path >= 4)
            for (; feature + 4 <= features; feature += 4) {
                Four row[4];
                for (int one = 0; one < 4; one++) memcpy(&row[one], from + one * stride + feature, sizeof(Four));
                const Four a{row[0][0], row[1][0], row[0][1], row[1][1]}, b{row[2][0], row[3][0], row[2][1], row[3][1]};
                const Four c{row[0][2], row[1][2], row[0][3], row[1][3]}, d{row[2][2], row[3][2], row[2][3], row[3][3]};
                const Four turned[4] = {{a[0], a[1], b[0], b[1]}, {a[2], a[3], b[2], b[3]},  // an instruction for each
                                        {c[0], c[1], d[0], d[1]}, {c[2], c[3], d[2], d[3]}};
                for (int one = 0; one < 4; one++) memcpy(to + (feature + one) * width, &turned[one], sizeof(Four));
            }
        const int64_t paths = count - path < 4 ? count - path : 4;
        for (; feature < features; feature++)
            for (int64_t lane = 0; lane < paths; lane++) to[feature * width + lane] = from[lane * stride + feature];
    }
}

struct Scratch {
    float *weights, *inputs, *one, *other, *regime;
};

// Inputs to hidden units through several layers; returns where they lie, in `one` or `other`.
template <int groups, class Finish>
inline float *advance(const Dense *layers, int64_t count, const float *&weights, const float *x, float *one,
                      float *other) {
    for (int64_t layer = 0; layer < count; layer++, x = other) {
        dense<groups>(layers[layer], weights, x, one, Finish{});
        std::swap(one, other);
    }
    return other;
}

// The positions of one day on up to groups x LANES paths.
template <int groups, class Finish>
void decide(const Rollout &job, const Dense *layers, const Scratch &scratch, int64_t replica, int64_t day, int64_t path,
            int64_t count) {
    constexpr int width = groups * LANES;
    const float *features =
        job.features + day * job.features_step + replica * job.features_replica + path * job.features_path;
    const float *delta = job.delta + day * job.delta_step + replica * job.delta_replica + path * job.delta_path;
    float *positions = job.positions + (day * job.replicas + replica) * job.paths + path;
    alignas(64) float held[width] = {}, greek[width] = {};
    if (day > 0) memcpy(held, positions - job.replicas * job.paths, sizeof(float) * count);
    for (int64_t lane = 0; lane < count; lane++) greek[lane] = delta[lane * job.delta_path];

    spread<groups>(features + job.first, job.features_path, layers->inputs, count, scratch.inputs);
    float *inventory = scratch.inputs + layers->inputs * width;
    for (int lane = 0; lane < width; lane += LANES)
        store(inventory + lane, (load(held + lane) - job.mean) / job.deviation);
    const float *weights = scratch.weights;
    float *hidden = advance<groups, Finish>(layers, job.layers, weights, scratch.inputs, scratch.one, scratch.other);
    if (job.modulators) {
        const Dense *regime = layers + job.layers, *factor = regime + job.modulators - 1;
        float *spare = hidden == scratch.one ? scratch.other : scratch.one;
        spread<groups>(features + job.regime, job.features_path, regime->inputs, count, scratch.inputs);
        const float *last =
            advance<groups, Finish>(regime, job.modulators - 1, weights, scratch.inputs, spare, scratch.regime);
        dense<groups>(*factor, weights, last, hidden, Modulate{job.least, job.range});
    }

    const Dense &head = layers[job.layers + job.modulators];
    Vector raw[2][groups];
    for (int64_t output = 0; output < head.outputs; output++, weights += head.inputs) {
        const float bias = *weights++;
        for (int group = 0; group < groups; group++) {
            const float *units = hidden + group * LANES;
            Vector a = {}, b = {}, c = {}, d = {};  // a single sum would wait for each of its additions
            int64_t input = 0;
            for (; input + 4 <= head.inputs; input += 4, units += 4 * width) {
                a += load(units) * weights[input];
                b += load(units + width) * weights[input + 1];
                c += load(units + 2 * width) * weights[input + 2];
                d += load(units + 3 * width) * weights[input + 3];
            }
            for (; input < head.inputs; input++, units += width) a += load(units) * weights[input];
            raw[output][group] = ((a + b) + (c + d)) + bias;
        }
    }
    for (int group = 0; group < groups; group++) {
        const Vector q = load(held + group * LANES), center = load(greek + group * LANES);
        Vector next = raw[0][group];
        if (job.output == RESIDUAL) next = center + next;
        if (job.output == TRADE) next = q + next;
        if (job.output == BAND) {
            const Vector low = center - softplus(next - 3.0f), high = center + softplus(raw[1][group] - 3.0f);
            next = -larger(-larger(q, low), -high);
        }
        store(held + group * LANES, next);
    }
    memcpy(positions, held, sizeof(float) * count);
}

template <class Finish>
void roll(const Rollout &job, const Dense *layers, const Scratch &scratch) {
    const Dense *head = layers + job.layers + job.modulators;
    for (int64_t replica = 0; replica < job.replicas; replica++) {
        float *to = scratch.weights;
        for (const Dense *layer = layers; layer < head; layer++) to = pack<UNITS>(*layer, replica, to);
        pack<1>(*head, replica, to);
        for (int64_t day = 0; day < job.steps; day++) {  // days outside: memory is read from front to back
            int64_t path = 0;
            for (; path + GROUPS * LANES <= job.paths; path += GROUPS * LANES)
                decide<GROUPS, Finish>(job, layers, scratch, replica, day, path, GROUPS * LANES);
            for (int64_t left; (left = job.paths - path) > 0; path += LANES)
                decide<1, Finish>(job, layers, scratch, replica, day, path, left < LANES ? left : LANES);
        }
    }
}

}  // namespace

// Layers: those of the body, of the regime, the factor, the head. Returns 0, or 1 where memory is lacking.
extern "C" int praesidium_rollout(const Rollout *job, const Dense *layers) {
    int64_t weights = 0, units = 0;
    for (const Dense *layer = layers; layer <= layers + job->layers + job->modulators; layer++) {
        weights += padded(layer->outputs) * (layer->inputs + 2);  // with bias and inventory
        const int64_t most = padded(layer->inputs + 1 > layer->outputs ? layer->inputs + 1 : layer->outputs);
        units = most > units ? most : units;
    }
    weights = (weights + 15) / 16 * 16;
    units *= GROUPS * LANES;
    void *memory = nullptr;
    if (posix_memalign(&memory, 64, sizeof(float) * (weights + 4 * units))) return 1;
    float *first = static_cast<float *>(memory), *one = first + weights;
    const Scratch scratch{first, one, one + units, one + 2 * units, one + 3 * units};
    job->activation == RELU ? roll<Relu>(*job, layers, scratch) : roll<Silu>(*job, layers, scratch);
    free(memory);
    return 0;
}
