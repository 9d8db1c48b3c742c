/* What the component form of this program needs: memory for the adapter between the two kinds of WASI.
   Without this function the adapter grows the memory itself, and malloc believes the new part to be its own. */
#include "support.h"

#include <stdlib.h>

#ifdef __wasm__
__attribute__((export_name("cabi_realloc")))
#endif
void *
cabi_realloc(void *old, size_t old_size, size_t align, size_t new_size);

void *cabi_realloc(void *old, size_t old_size, size_t align, size_t new_size) {
    (void)old_size;
    if (align > _Alignof(max_align_t)) abort();
    return resize(old, new_size, 1);
}
