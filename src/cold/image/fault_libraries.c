/*
 * The objects that libraries make, as the debug build's masu-image sees them (linked with --wrap):
 * they count as allocations and fail as those do (base/fault.h). What a shared library allocates
 * behind them is its own.
 */
#include <openssl/evp.h>
#include <seccomp.h>
#include <zstd.h>

#include "base/fault.h"

/* What the linker makes of --wrap=EVP_MD_CTX_new. */
EVP_MD_CTX *__real_EVP_MD_CTX_new(void);
ZSTD_DCtx *__real_ZSTD_createDCtx(void);
scmp_filter_ctx __real_seccomp_init(uint32_t action);
EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void);
ZSTD_DCtx *__wrap_ZSTD_createDCtx(void);
scmp_filter_ctx __wrap_seccomp_init(uint32_t action);

EVP_MD_CTX *__wrap_EVP_MD_CTX_new(void)
{
	return fault_allocation() ? NULL : __real_EVP_MD_CTX_new();
}

ZSTD_DCtx *__wrap_ZSTD_createDCtx(void)
{
	return fault_allocation() ? NULL : __real_ZSTD_createDCtx();
}

scmp_filter_ctx __wrap_seccomp_init(uint32_t action)
{
	return fault_allocation() ? NULL : __real_seccomp_init(action);
}
