/* The encoder: compresses a layer's tar. Runs in its own process after sandbox_decoder(). */
#pragma once

#include <openssl/evp.h>

#include "cold/image/decoder.h"

/*
 * gzip of everything @in has to @out, without a name or a time, so that the same bytes become the
 * same on the same machine. @sha256 (ready for update) and report->bytes tell of what went in.
 */
int encode_gzip(int in, int out, EVP_MD_CTX *sha256, struct worker_report *report,
		struct masu_error *err);
