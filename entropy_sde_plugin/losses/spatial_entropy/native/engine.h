// All that is compiled once per instruction set, on top of its vectors. Included inside a namespace.
#include "elementary.h"
#include "workspace.h"
#include "occupied_bins.h"
#include "kernels.h"
#include "separable_window.h"
#include "window_sums.h"
#include "densities.h"
#include "tile.h"
