#include "cold/image/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cold/image/key_box.h"
#include "sys/fs.h"

#define KEY_FILE_MAX  65536
#define SIGNATURE_MAX 256 /* bytes; one on P-256 has at most 72 */
#define CURVE	      "prime256v1"

static void bio_freep(BIO **bio)
{
	BIO_free(*bio);
}
#define _cleanup_bio_ __attribute__((cleanup(bio_freep)))

/* What it is and whether masu can use it. Takes @key over. */
static int accept_key(EVP_PKEY *key, const char *path, EVP_PKEY **ret, struct masu_error *err)
{
	char group[64] = "";
	size_t len = 0;
	if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC)
		EVP_PKEY_get_group_name(key, group, sizeof(group), &len);
	if (streq(group, CURVE)) {
		*ret = key;
		return 0;
	}
	EVP_PKEY_free(key);
	return error_set(err, -EOPNOTSUPP, "%s: only ECDSA keys on the curve P-256 are supported",
			 path);
}

static int read_key_file(const char *path, struct arena *arena, char **ret, size_t *ret_len,
			 struct masu_error *err)
{
	int r = fs_read_arena(AT_FDCWD, path, KEY_FILE_MAX, arena, ret, ret_len);
	return r < 0 ? error_errno(err, r, "%s", path) : 0;
}

/* ---- passphrases ---- */

static int find_passphrase(const char *file, struct arena *arena, const char **ret,
			   struct masu_error *err)
{
	char *text;
	size_t len;
	if (!file) {
		*ret = getenv("COSIGN_PASSWORD");
		return *ret ? 0
			    : error_set(err, -EINVAL,
					"the key's passphrase is needed: --passphrase-file FILE or "
					"$COSIGN_PASSWORD");
	}
	int r = read_key_file(file, arena, &text, &len, err);
	if (r < 0)
		return r;
	text[strcspn(text, "\r\n")] = '\0';
	*ret = text;
	return 0;
}

struct asked {
	const char *file;
	struct arena *arena;
	struct masu_error *err;
	bool failed;
};

/* OpenSSL asks where the key is encrypted (pem_password_cb). */
static int give_passphrase(char *buffer, int size, int writing, void *opaque)
{
	(void)writing;
	struct asked *asked = opaque;
	const char *text;
	if (find_passphrase(asked->file, asked->arena, &text, asked->err) < 0) {
		asked->failed = true;
		return -1;
	}
	size_t len = strlen(text);
	if (len > (size_t)size)
		return -1;
	memcpy(buffer, text, len);
	return (int)len;
}

/* ---- reading ---- */

static bool is_boxed(const char *label)
{
	return streq(label, "ENCRYPTED COSIGN PRIVATE KEY") ||
	       streq(label, "ENCRYPTED SIGSTORE PRIVATE KEY");
}

/* The content of the first PEM block where it is cosign's; *ret NULL: it is another one. */
static int read_boxed(BIO *bio, struct arena *arena, const char **ret, size_t *ret_len)
{
	char *label = NULL, *header = NULL;
	unsigned char *data = NULL;
	long len = 0;
	*ret = NULL;
	if (PEM_read_bio(bio, &label, &header, &data, &len) != 1)
		return 0;
	int r = 0;
	if (is_boxed(label)) {
		*ret = arena_strndup(arena, (const char *)data, (size_t)len);
		*ret_len = (size_t)len;
		r = *ret ? 0 : -ENOMEM;
	}
	OPENSSL_free(label);
	OPENSSL_free(header);
	OPENSSL_free(data);
	return r;
}

static int open_box(const char *path, const char *passphrase_file, struct arena *arena,
		    const char *text, size_t len, EVP_PKEY **ret, struct masu_error *err)
{
	const char *passphrase;
	struct key_secret secret;
	int r = find_passphrase(passphrase_file, arena, &passphrase, err);
	if (r == 0)
		r = key_box_open(arena, text, len, passphrase, &secret, err);
	if (r < 0)
		return error_wrap(err, "%s", path);
	const unsigned char *at = secret.data;
	*ret = d2i_AutoPrivateKey(NULL, &at, (long)secret.len);
	OPENSSL_cleanse(secret.data, secret.len);
	return *ret ? 0 : error_set(err, -EBADMSG, "%s: no private key is in it", path);
}

static int read_pem(const char *path, const char *passphrase_file, struct arena *arena, BIO *bio,
		    EVP_PKEY **ret, struct masu_error *err)
{
	struct asked asked = { .file = passphrase_file, .arena = arena, .err = err };
	*ret = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &asked);
	if (*ret)
		return 0;
	if (asked.failed)
		return error_wrap(err, "%s", path);
	return error_set(err, -EACCES, "%s: no private key in PEM, or another passphrase is its",
			 path);
}

int key_read_private(const char *path, const char *passphrase_file, EVP_PKEY **ret,
		     struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	char *text;
	const char *boxed;
	size_t len, boxed_len = 0;
	EVP_PKEY *key = NULL;
	arena_init(&arena, 4u << 20);
	int r = read_key_file(path, &arena, &text, &len, err);
	if (r < 0)
		return r;
	_cleanup_bio_ BIO *bio = BIO_new_mem_buf(text, (int)len);
	if (!bio || read_boxed(bio, &arena, &boxed, &boxed_len) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	(void)BIO_reset(bio);
	r = boxed ? open_box(path, passphrase_file, &arena, boxed, boxed_len, &key, err)
		  : read_pem(path, passphrase_file, &arena, bio, &key, err);
	OPENSSL_cleanse(text, len);
	return r < 0 ? r : accept_key(key, path, ret, err);
}

int key_read_public(const char *path, EVP_PKEY **ret, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	char *text;
	size_t len;
	arena_init(&arena, 4u << 20);
	int r = read_key_file(path, &arena, &text, &len, err);
	if (r < 0)
		return r;
	_cleanup_bio_ BIO *bio = BIO_new_mem_buf(text, (int)len);
	EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
	if (!key)
		return error_set(err, -EBADMSG, "%s: no public key in PEM", path);
	return accept_key(key, path, ret, err);
}

/* ---- signing ---- */

static void context_freep(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}
#define _cleanup_context_ __attribute__((cleanup(context_freep)))

int key_sign(EVP_PKEY *key, struct arena *arena, const void *data, size_t len, const char **ret,
	     struct masu_error *err)
{
	unsigned char signature[SIGNATURE_MAX];
	size_t signature_len = sizeof(signature);
	_cleanup_context_ EVP_MD_CTX *context = EVP_MD_CTX_new();
	char *text = arena_alloc(arena, (SIGNATURE_MAX + 2) / 3 * 4 + 1);
	if (!context || !text)
		return error_set(err, -ENOMEM, "out of memory");
	if (EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) != 1 ||
	    EVP_DigestSign(context, signature, &signature_len, data, len) != 1)
		return error_set(err, -EIO, "signing failed");
	EVP_EncodeBlock((unsigned char *)text, signature, (int)signature_len);
	*ret = text;
	return 0;
}

bool key_verifies(EVP_PKEY *key, const void *data, size_t len, const char *signature)
{
	unsigned char bytes[SIGNATURE_MAX];
	size_t count;
	if (key_base64_decode(signature, bytes, sizeof(bytes), &count) < 0)
		return false;
	_cleanup_context_ EVP_MD_CTX *context = EVP_MD_CTX_new();
	return context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
	       EVP_DigestVerify(context, bytes, count, data, len) == 1;
}

/* ---- a new pair ---- */

/* A new file with all that @bio holds. */
static int write_new(const char *prefix, const char *suffix, mode_t mode, BIO *bio,
		     struct masu_error *err)
{
	char path[4096], *text;
	long len = BIO_get_mem_data(bio, &text);
	int r = str_format(path, sizeof(path), "%s%s", prefix, suffix);
	_cleanup_close_ int fd =
		r < 0 ? r : open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);
	if (fd < 0)
		return error_errno(err, r < 0 ? r : -errno, "%s%s", prefix, suffix);
	r = fs_write_all(fd, text, (size_t)len);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	return r < 0 ? error_errno(err, r, "%s", path) : 0;
}

static int put_private(EVP_PKEY *key, const char *passphrase, BIO *out, struct masu_error *err)
{
	struct key_secret secret = { 0 };
	_cleanup_buf_ struct buf box;
	buf_init(&box, KEY_FILE_MAX);
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &secret.data) : -1;
	PKCS8_PRIV_KEY_INFO_free(info);
	if (len <= 0)
		return error_set(err, -EIO, "the new key cannot be encoded");
	secret.len = (size_t)len;
	int r = key_box_seal(&secret, passphrase, &box, err);
	OPENSSL_clear_free(secret.data, secret.len);
	if (r == 0 && PEM_write_bio(out, "ENCRYPTED COSIGN PRIVATE KEY", "",
				    (const unsigned char *)box.data, (long)box.len) <= 0)
		r = error_set(err, -ENOMEM, "out of memory");
	return r;
}

int key_pair_generate(const char *prefix, const char *passphrase_file, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena;
	const char *passphrase;
	arena_init(&arena, 1u << 20);
	int r = find_passphrase(passphrase_file, &arena, &passphrase, err);
	if (r < 0)
		return r;
	_cleanup_key_ EVP_PKEY *key = EVP_EC_gen("P-256");
	_cleanup_bio_ BIO *private = BIO_new(BIO_s_mem());
	_cleanup_bio_ BIO *public = BIO_new(BIO_s_mem());
	if (!key || !private || !public || PEM_write_bio_PUBKEY(public, key) != 1)
		return error_set(err, -EIO, "no new key can be made");
	r = put_private(key, passphrase, private, err);
	if (r == 0)
		r = write_new(prefix, ".key", 0600, private, err);
	if (r == 0)
		r = write_new(prefix, ".pub", 0644, public, err);
	return r;
}
