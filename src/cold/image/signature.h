/*
 * Signatures of images as cosign keeps them (cosign's SIGNATURE_SPEC.md): a manifest in the image's
 * own repository under the tag sha256-<digest>.sig. Each of its layers is a document that says what
 * is signed, "simple signing", and has the signature of its bytes as an annotation.
 */
#pragma once

#include "image/image.h"

#define SIGNATURE_PAYLOAD_TYPE "application/vnd.dev.cosign.simplesigning.v1+json"
#define SIGNATURE_PAYLOAD_MAX  65536
#define SIGNATURES_MAX	       256

struct signature {
	const char *digest; /* of the payload */
	uint64_t size;
	const char *text; /* base64; "": a layer that is no signature */
};

/* "sha256-….sig" */
int signature_tag(const char *image_digest, char ret[96]);

/* What is signed: that the image @image_digest may be called @reference. */
int signature_payload(const char *reference, const char *image_digest, struct buf *out);

/*
 * Whether @text, whose signature has been verified, says that @image_digest is @wanted: the
 * repository must be the same, and the tag where both have one. -EBADMSG with what is wrong.
 */
int signature_payload_check(struct arena *arena, const char *text, size_t len,
			    const char *image_digest, const struct image_reference *wanted,
			    struct masu_error *err);

/* The layers of a signatures' manifest, which came from a registry: read in a box. */
int signatures_read(struct arena *arena, const char *text, size_t len, struct signature **ret,
		    size_t *ret_count, struct masu_error *err);

/* The config that goes with these payloads. */
int signatures_config(const struct signature *signatures, size_t count, struct buf *out);
/*
 * The manifest with @added (NULL: none) and those layers of @more (NULL: none) that it has not
 * itself behind what @old (NULL: there is none) has, which is kept as it is. Written in a box.
 */
struct signatures_manifest {
	const char *old, *more;
	size_t old_len, more_len;
	const struct signature *added;
	const char *config_digest;
	uint64_t config_size;
};
int signatures_write(struct signatures_manifest *manifest, struct buf *out, struct masu_error *err);

/* The sandboxed half of signatures_read(), for fuzzing: digest, size, signature or "-" a line. */
struct signatures_text {
	const char *text;
	size_t len;
};
int signatures_describe(void *text, struct buf *out, struct masu_error *err);
