// What a tile needs while it is worked on. Included inside a namespace.
//
// Pixels of a tile with its surroundings, `extent` x `extent`, are numbered column by column: p = x * extent + y.
// One vector holds, for one pixel, a block of bins: kLanes / 4 values of i times 4 of j. A sum over a window thus adds
// whole vectors, and only blocks of bins that some pixel of the tile comes near are visited.

constexpr int kBlockI = kLanes / 4;
constexpr int kTilePixels = kTile * kTile;

// Stands for a pixel outside the plane: far from every bin.
constexpr float kOutside = -3e38f;

// Hands out aligned pieces of one block of memory; without a block it only counts.
class Carver {
public:
    explicit Carver(char* block) : block_(block) {}
    template <class T>
    T* take(std::size_t count) {
        T* piece = block_ ? reinterpret_cast<T*>(block_ + used_) : nullptr;
        used_ += (count * sizeof(T) + 63) / 64 * 64;
        return piece;
    }
    std::size_t used() const { return used_; }

private:
    char* block_;
    std::size_t used_ = 0;
};

struct Workspace {
    // Bytes for the Hellinger distance's derivatives between its two sweeps: what a second-level cache holds.
    static constexpr std::size_t kSlopeCache = 768 * 1024;

    int pixels;      // extent squared, rounded up
    int quads;       // groups of four levels
    int block_rows;  // groups of kBlockI levels
    int mask_words;
    std::size_t slope_slots;

    float *v, *v_nbr, *w, *w_nbr;               // [pixels]; kOutside outside the plane
    float *a, *a_slope, *b, *b_slope, *c, *d;   // kernels [quads][pixels][4]: of v, its derivative, v_nbr, ..., w, w_nbr
    float* column;                              // [extent] vectors
    float *sums_p, *sums_q;                     // [window][extent][kTile] vectors: summed along y
    float* slopes;                              // [slot][window][kTilePixels] vectors: derivatives by the densities
    float *row_sum, *row_sum_nbr;               // [pixels] vectors: parts of the gradient over one row of blocks
    float *grad, *grad_nbr;                     // [pixels] vectors
    float* distance;                            // [window][kTilePixels] vectors
    float* coefficient;                         // [window][kTilePixels]: derivative of the result by a window's bin sum
    float *own_distance, *own_grad, *own_grad_nbr;  // [kTilePixels][4], all four alike: of the separable window
    std::uint64_t* mask;                        // [block_rows][mask_words]: one bit for each block of bins

    Workspace(const Problem& problem, char* block, std::size_t* size = nullptr) {
        Carver memory(block);
        const std::size_t windows = problem.window_count;
        pixels = (problem.extent * problem.extent + 15) / 16 * 16;
        quads = (problem.levels + 3) / 4;
        block_rows = (problem.levels + kBlockI - 1) / kBlockI;
        mask_words = (quads + 63) / 64;
        const std::size_t slot = windows * kTilePixels * kLanes;
        const std::size_t blocks = static_cast<std::size_t>(block_rows) * quads;
        const bool cached = problem.need_gradient && problem.distance == Distance::hellinger && windows > 0;
        slope_slots = !cached ? 0 : std::min(blocks, kSlopeCache / (slot * sizeof(float)));
        const std::size_t kernel = static_cast<std::size_t>(quads) * pixels * 4;
        const std::size_t vectors = static_cast<std::size_t>(pixels) * kLanes;
        const std::size_t line = static_cast<std::size_t>(problem.extent) * kLanes;
        for (float** piece : {&v, &v_nbr, &w, &w_nbr}) *piece = memory.take<float>(pixels);
        for (float** piece : {&a, &a_slope, &b, &b_slope, &c, &d}) *piece = memory.take<float>(kernel);
        for (float** piece : {&row_sum, &row_sum_nbr, &grad, &grad_nbr})
            *piece = memory.take<float>(vectors);
        column = memory.take<float>(line);
        for (float** piece : {&sums_p, &sums_q}) *piece = memory.take<float>(windows * line * kTile);
        slopes = memory.take<float>((slope_slots + 1) * slot);
        distance = memory.take<float>(slot);
        coefficient = memory.take<float>(windows * kTilePixels);
        for (float** piece : {&own_distance, &own_grad, &own_grad_nbr}) *piece = memory.take<float>(kTilePixels * 4);
        mask = memory.take<std::uint64_t>(static_cast<std::size_t>(block_rows) * mask_words);
        if (size) *size = memory.used();
    }

    // One quad of a kernel, and the first row of a block in it.
    const float* quad(const float* kernel, int index) const {
        return kernel + static_cast<std::size_t>(index) * pixels * 4;
    }
    const float* row(const float* kernel, int block_row) const {
        return quad(kernel, block_row * kBlockI / 4) + block_row * kBlockI % 4;
    }
};
