#include "cold/image/key_box.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <sodium.h>
#include <string.h>

#include "base/str.h"
#include "json/json.h"

/* What cosign writes. Others are read within bounds: a key file may come from somebody else. */
#define SCRYPT_N      32768u
#define SCRYPT_R      8u
#define SCRYPT_P      1u
#define SALT_SIZE     32
#define SCRYPT_MEMORY (512ull << 20)
#define PARAMETER_MAX 1024u
#define TEXT_MAX      65536

int key_base64_decode(const char *text, unsigned char *ret, size_t size, size_t *ret_len)
{
	unsigned char bytes[TEXT_MAX];
	size_t len = strlen(text);
	if (len == 0 || len % 4 || len > TEXT_MAX)
		return -EINVAL;
	int got = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len);
	size_t padding = (text[len - 1] == '=') + (size_t)(text[len - 2] == '=');
	if (got < 0 || (size_t)got - padding > size)
		return -EINVAL;
	*ret_len = (size_t)got - padding;
	memcpy(ret, bytes, *ret_len);
	OPENSSL_cleanse(bytes, (size_t)got);
	return 0;
}

struct scrypt {
	uint64_t n, r, p;
	unsigned char salt[256];
	size_t salt_len;
};

static int derive(const struct scrypt *s, const char *passphrase,
		  unsigned char ret[crypto_secretbox_KEYBYTES], struct masu_error *err)
{
	if (EVP_PBE_scrypt(passphrase, strlen(passphrase), s->salt, s->salt_len, s->n, s->r, s->p,
			   SCRYPT_MEMORY, ret, crypto_secretbox_KEYBYTES) != 1)
		return error_set(err, -EINVAL, "its scrypt parameters are not supported");
	return 0;
}

static bool is_named(const struct json *object, const char *name)
{
	const char *text;
	return json_string(json_get(object, "name"), &text) && streq(text, name);
}

static int read_scrypt(const struct json *document, struct scrypt *ret, struct masu_error *err)
{
	const struct json *kdf = json_get(document, "kdf"), *params = json_get(kdf, "params");
	const char *salt = "";
	json_string(json_get(kdf, "salt"), &salt);
	if (!is_named(kdf, "scrypt") || !json_u64(json_get(params, "N"), &ret->n) ||
	    !json_u64(json_get(params, "r"), &ret->r) || ret->r > PARAMETER_MAX ||
	    !json_u64(json_get(params, "p"), &ret->p) || ret->p > PARAMETER_MAX ||
	    key_base64_decode(salt, ret->salt, sizeof(ret->salt), &ret->salt_len) < 0)
		return error_set(err, -EOPNOTSUPP, "its key derivation is not scrypt's");
	return 0;
}

int key_box_open(struct arena *arena, const char *text, size_t len, const char *passphrase,
		 struct key_secret *ret, struct masu_error *err)
{
	const struct json *document;
	const char *nonce_text = "", *cipher_text = "";
	unsigned char nonce[crypto_secretbox_NONCEBYTES], key[crypto_secretbox_KEYBYTES];
	struct scrypt scrypt;
	size_t nonce_len = 0, cipher_len = 0;
	int r = json_parse(arena, text, len, &document, err);
	if (r == 0)
		r = read_scrypt(document, &scrypt, err);
	if (r < 0)
		return r;
	const struct json *cipher = json_get(document, "cipher");
	json_string(json_get(cipher, "nonce"), &nonce_text);
	json_string(json_get(document, "ciphertext"), &cipher_text);
	unsigned char *sealed = arena_alloc(arena, strlen(cipher_text) + 1);
	unsigned char *plain = arena_alloc(arena, strlen(cipher_text) + 1);
	if (!sealed || !plain)
		return error_set(err, -ENOMEM, "out of memory");
	if (!is_named(cipher, "nacl/secretbox") ||
	    key_base64_decode(nonce_text, nonce, sizeof(nonce), &nonce_len) < 0 ||
	    nonce_len != sizeof(nonce) ||
	    key_base64_decode(cipher_text, sealed, strlen(cipher_text), &cipher_len) < 0 ||
	    cipher_len <= crypto_secretbox_MACBYTES)
		return error_set(err, -EBADMSG, "it is not a key as cosign keeps it");
	r = derive(&scrypt, passphrase, key, err);
	if (r == 0 && crypto_secretbox_open_easy(plain, sealed, cipher_len, nonce, key) != 0)
		r = error_set(err, -EACCES, "the passphrase is wrong, or the file is damaged");
	OPENSSL_cleanse(key, sizeof(key));
	if (r == 0)
		*ret = (struct key_secret) { plain, cipher_len - crypto_secretbox_MACBYTES };
	return r;
}

static void put_base64(struct json_writer *w, const char *key, const unsigned char *data,
		       size_t len)
{
	char text[TEXT_MAX / 8];
	EVP_EncodeBlock((unsigned char *)text, data, (int)len);
	json_field_string(w, key, text);
}

static void write_box(const struct scrypt *s, const unsigned char *nonce,
		      const unsigned char *sealed, size_t len, struct buf *out)
{
	struct json_writer w;
	json_writer_init(&w, out, false);
	json_begin_object(&w);
	json_key(&w, "kdf");
	json_begin_object(&w);
	json_field_string(&w, "name", "scrypt");
	json_key(&w, "params");
	json_begin_object(&w);
	json_field_u64(&w, "N", s->n);
	json_field_u64(&w, "r", s->r);
	json_field_u64(&w, "p", s->p);
	json_end_object(&w);
	put_base64(&w, "salt", s->salt, s->salt_len);
	json_end_object(&w);
	json_key(&w, "cipher");
	json_begin_object(&w);
	json_field_string(&w, "name", "nacl/secretbox");
	put_base64(&w, "nonce", nonce, crypto_secretbox_NONCEBYTES);
	json_end_object(&w);
	put_base64(&w, "ciphertext", sealed, len);
	json_end_object(&w);
}

int key_box_seal(const struct key_secret *secret, const char *passphrase, struct buf *out,
		 struct masu_error *err)
{
	unsigned char nonce[crypto_secretbox_NONCEBYTES], key[crypto_secretbox_KEYBYTES];
	unsigned char sealed[4096];
	struct scrypt scrypt = {
		.n = SCRYPT_N, .r = SCRYPT_R, .p = SCRYPT_P, .salt_len = SALT_SIZE
	};
	if (secret->len > sizeof(sealed) - crypto_secretbox_MACBYTES)
		return error_set(err, -E2BIG, "too long a key");
	if (RAND_bytes(nonce, sizeof(nonce)) != 1 || RAND_bytes(scrypt.salt, SALT_SIZE) != 1)
		return error_set(err, -EIO, "no random numbers");
	int r = derive(&scrypt, passphrase, key, err);
	if (r < 0)
		return r;
	crypto_secretbox_easy(sealed, secret->data, secret->len, nonce, key);
	OPENSSL_cleanse(key, sizeof(key));
	write_box(&scrypt, nonce, sealed, secret->len + crypto_secretbox_MACBYTES, out);
	return buf_error(out) < 0 ? error_errno(err, buf_error(out), "key") : 0;
}
