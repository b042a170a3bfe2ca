/* `masu image sign`, `verify` and `generate-key-pair`: signatures as cosign and podman have them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/manifest_options.h"
#include "cold/image/keys.h"
#include "cold/image/signature.h"
#include "cold/image/signer.h"
#include "cold/image/verbs.h"
#include "cold/registry/remote.h"
#include "image/store.h"

/* An image in its registry, with the signatures that it has there. */
struct subject {
	struct arena *arena;
	struct remote remote;
	const char *shown;		 /* as the user knows it */
	struct image_reference identity; /* that the signatures must be of */
	char digest[DIGEST_MAX];	 /* of its manifest, computed here */
	char tag[96];			 /* of its signatures */
	struct remote_document manifest; /* of the signatures; text NULL: there are none */
	struct signature *signatures;
	size_t count;
};

static void subject_close(struct subject *subject)
{
	remote_close(&subject->remote);
}
#define _cleanup_subject_ _cleanup_(subject_close)

static int fetch_signatures(struct subject *s, struct masu_error *err)
{
	int r = signature_tag(s->digest, s->tag);
	if (r == 0)
		r = remote_get(&s->remote, "manifests", s->tag, "", &s->manifest, err);
	if (r == -ENOENT) {
		s->manifest.text = NULL;
		if (err)
			error_clear(err);
		return 0;
	}
	if (r == 0)
		r = signatures_read(s->arena, s->manifest.text, s->manifest.len, &s->signatures,
				    &s->count, err);
	return r < 0 ? error_wrap(err, "signatures of %s", s->shown) : 0;
}

static int subject_open(struct arena *arena, const char *name, bool push, struct subject *ret,
			struct masu_error *err)
{
	struct image_reference reference;
	struct remote_document image;
	*ret = (struct subject) { .arena = arena };
	int r = image_reference_parse(arena, name, &reference, err);
	if (r < 0)
		return r;
	ret->shown = image_reference_familiar_full(arena, &reference);
	if (!ret->shown)
		return error_set(err, -ENOMEM, "out of memory");
	r = remote_open(arena, &reference, push, &ret->remote, err);
	if (r == 0)
		r = remote_get(&ret->remote, "manifests",
			       reference.digest ? reference.digest : reference.tag, "", &image,
			       err);
	if (r < 0)
		return error_wrap(err, "%s", ret->shown);
	memcpy(ret->digest, image.digest, sizeof(ret->digest));
	return fetch_signatures(ret, err);
}

static int need_key(const struct sign_options *o, const char *verb, struct masu_error *err)
{
	return o->key ? 0 : error_set(err, -EINVAL, "image %s: --key FILE is needed", verb);
}

/* ---- sign ---- */

static bool is_signed(const struct subject *s, EVP_PKEY *key, const struct buf *payload,
		      const char *digest)
{
	for (size_t i = 0; i < s->count; i++)
		if (streq(s->signatures[i].digest, digest) &&
		    key_verifies(key, payload->data, payload->len, s->signatures[i].text))
			return true;
	return false;
}

/* Config and manifest, with one signature more than there were. */
static int put_signatures(struct subject *s, const struct signature *added, struct masu_error *err)
{
	char config_digest[DIGEST_MAX], digest[DIGEST_MAX];
	_cleanup_buf_ struct buf config, text;
	struct signature *all = arena_array(s->arena, struct signature, s->count + 1);
	buf_init(&config, IMAGE_MAX_DOCUMENT);
	buf_init(&text, IMAGE_MAX_DOCUMENT);
	if (!all)
		return error_set(err, -ENOMEM, "out of memory");
	if (s->count)
		memcpy(all, s->signatures, s->count * sizeof(*all));
	all[s->count] = *added;
	int r = signatures_config(all, s->count + 1, &config);
	if (r < 0)
		return error_errno(err, r, "signatures");
	r = remote_put_bytes(&s->remote, config.data, config.len, config_digest, err);
	struct signatures_manifest manifest = { .old = s->manifest.text,
						.old_len = s->manifest.len,
						.added = added,
						.config_digest = config_digest,
						.config_size = config.len };
	if (r == 0)
		r = signatures_write(&manifest, &text, err);
	return r < 0 ? r
		     : remote_put_manifest(&s->remote, s->tag, MEDIA_TYPE_MANIFEST, text.data,
					   text.len, digest, NULL, err);
}

/* What is signed as: the name with its tag, or, of a digest, the repository alone. */
static const char *identity_of(const struct subject *s)
{
	struct image_reference reference = s->remote.reference;
	if (reference.digest)
		return arena_printf(s->arena, "%s/%s", reference.domain, reference.path);
	return image_reference_full(s->arena, &reference);
}

static int sign_run(struct cli_context *context, void *data, int argc, char **argv,
		    struct masu_error *err)
{
	(void)argc;
	const struct sign_options *o = data;
	char digest[DIGEST_MAX];
	struct signature added;
	_cleanup_buf_ struct buf payload;
	_cleanup_signer_ struct signer *signer = NULL;
	_cleanup_key_ EVP_PKEY *key = NULL; /* the public half */
	_cleanup_subject_ struct subject subject = { 0 };
	buf_init(&payload, SIGNATURE_PAYLOAD_MAX);
	int r = need_key(o, "sign", err);
	if (r == 0)
		r = signer_start(o->key, o->passphrase_file, &signer, &key, err);
	if (r == 0)
		r = subject_open(context->arena, argv[0], true, &subject, err);
	if (r < 0)
		return r;
	const char *identity = identity_of(&subject);
	if (!identity || signature_payload(identity, subject.digest, &payload) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	r = remote_put_bytes(&subject.remote, payload.data, payload.len, digest, err);
	if (r == 0 && !is_signed(&subject, key, &payload, digest)) {
		added = (struct signature) { .digest = digest, .size = payload.len };
		r = signer_sign(signer, context->arena, payload.data, payload.len, &added.text,
				err);
		if (r == 0)
			r = put_signatures(&subject, &added, err);
	}
	if (r == 0)
		printf("%s/%s:%s\n", subject.remote.reference.domain, subject.remote.reference.path,
		       subject.tag);
	return r;
}

/* ---- verify ---- */

/* 0: it is a signature by the key of this image under this name; *ret_text what it says. */
static int check_one(struct subject *s, const struct signature *signature, EVP_PKEY *key,
		     struct remote_document *ret, struct masu_error *err)
{
	if (!*signature->text)
		return error_set(err, -EBADMSG, "a layer is no signature");
	if (signature->size > SIGNATURE_PAYLOAD_MAX)
		return error_set(err, -EFBIG, "a signature says too much");
	int r = remote_get_blob(&s->remote, signature->digest, signature->size, ret, err);
	if (r < 0)
		return r;
	if (!key_verifies(key, ret->text, ret->len, signature->text))
		return error_set(err, -EBADMSG, "a signature is not by this key");
	return signature_payload_check(s->arena, ret->text, ret->len, s->digest, &s->identity, err);
}

static int verify_all(struct subject *s, EVP_PKEY *key, struct buf *out, struct masu_error *err)
{
	struct masu_error why = { 0 };
	size_t good = 0;
	buf_puts(out, "[");
	for (size_t i = 0; i < s->count; i++) {
		struct remote_document payload;
		struct masu_error own = { 0 };
		if (check_one(s, &s->signatures[i], key, &payload, &own) < 0) {
			why = own;
			continue;
		}
		buf_puts(out, good++ ? "," : "");
		buf_append(out, payload.text, payload.len);
	}
	buf_puts(out, "]\n");
	if (good)
		return buf_error(out) < 0 ? error_set(err, -ENOMEM, "out of memory") : 0;
	if (s->count == 0)
		return error_set(err, -ENOENT, "%s@%s has no signatures", s->shown, s->digest);
	return error_set(err, -EBADMSG, "%s@%s: none of its %zu signatures is valid; the last: %s",
			 s->shown, s->digest, s->count, why.message);
}

static int verify_run(struct cli_context *context, void *data, int argc, char **argv,
		      struct masu_error *err)
{
	(void)argc;
	const struct sign_options *o = data;
	_cleanup_buf_ struct buf out;
	_cleanup_key_ EVP_PKEY *key = NULL;
	_cleanup_subject_ struct subject subject = { 0 };
	buf_init(&out, 0);
	int r = need_key(o, "verify", err);
	if (r == 0)
		r = key_read_public(o->key, &key, err);
	if (r == 0)
		r = subject_open(context->arena, argv[0], false, &subject, err);
	subject.identity = subject.remote.reference;
	if (r == 0 && o->signed_as)
		r = image_reference_parse(context->arena, o->signed_as, &subject.identity, err);
	if (r == 0)
		r = verify_all(&subject, key, &out, err);
	if (r < 0)
		return r;
	fprintf(stderr,
		"\nVerification for %s@%s --\n"
		"The following checks were performed on each of these signatures:\n"
		"  - The signature is by the specified public key\n"
		"  - It is of this digest under %s\n",
		subject.shown, subject.digest, o->signed_as ? o->signed_as : "this name");
	fputs(buf_str(&out), stdout);
	return 0;
}

static int key_pair_run(struct cli_context *context, void *data, int argc, char **argv,
			struct masu_error *err)
{
	(void)context;
	(void)argc;
	(void)argv;
	const struct sign_options *o = data;
	const char *prefix = o->prefix ? o->prefix : "cosign";
	int r = key_pair_generate(prefix, o->passphrase_file, err);
	if (r == 0)
		printf("Private key written to %s.key\nPublic key written to %s.pub\n", prefix,
		       prefix);
	return r;
}

static const struct cli_command sign = { IMAGE_SIGN_COMMAND, IMAGE_SIGN_OPTIONS, .run = sign_run };
static const struct cli_command verify = { IMAGE_VERIFY_COMMAND, IMAGE_VERIFY_OPTIONS,
					   .run = verify_run };
static const struct cli_command key_pair = { IMAGE_KEY_PAIR_COMMAND, IMAGE_KEY_PAIR_OPTIONS,
					     .run = key_pair_run };
static const struct cli_command *const verbs[] = { &key_pair, &sign, &verify, NULL };

const struct cli_command image_command = {
	.name = "image",
	.synopsis = "COMMAND",
	.summary = "Manage images",
	.subcommands = verbs,
};
