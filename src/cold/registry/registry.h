/*
 * Registries: where one is reached, who one is there, and how its answers are trusted.
 *
 * A registry is named by the domain of a reference ("docker.io"). Its endpoints are tried in order:
 * mirrors first, for reading only, then the registry itself. What is known about them comes from
 * the administrator's files, in Docker's and Podman's places:
 *
 * - $DOCKER_CONFIG/config.json (~/.docker), $REGISTRY_AUTH_FILE: credentials, credential helpers;
 * - /etc/docker/daemon.json: registry-mirrors, insecure-registries, proxies;
 * - /etc/containers/registries.conf and registries.conf.d/: mirrors, other places, what is blocked;
 * - /etc/docker/certs.d/<domain>/, /etc/containers/certs.d/: *.crt, and a *.cert with its *.key.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"
#include "image/image.h"

struct registry_credentials {
	const char *username, *password; /* NULL: none */
	const char *identity_token;	 /* an OAuth2 refresh token in their place */
	const char *registry_token; /* a token for the registry itself: nobody is asked for one */
};

static inline bool registry_credentials_known(const struct registry_credentials *credentials)
{
	return credentials->username || credentials->identity_token || credentials->registry_token;
}

struct registry_endpoint {
	const char *base; /* "https://registry-1.docker.io", without a slash at the end */
	/* A repository whose name begins with @from is there under one that begins with @to; "". */
	const char *from, *to;
	bool mirror;
	bool insecure;		     /* the certificate is not checked */
	const char *ca, *cert, *key; /* PEM; NULL: none */
	size_t ca_len, cert_len, key_len;
	size_t ca_own_len; /* of ca, without the system's authorities that follow */
	struct registry_credentials credentials;
};

#define REGISTRY_ENDPOINTS_MAX 16

struct registry {
	const char *domain;
	struct registry_endpoint *endpoints;
	size_t count;
	/* Of daemon.json; NULL: what the environment says. */
	const char *http_proxy, *https_proxy, *no_proxy;
};

/*
 * Reads what there is to know of the registry of @reference, whose path (NULL: of no repository)
 * and digest decide which mirrors there are; everything in the arena. A domain that is on this
 * machine (localhost, 127.0.0.0/8, ::1) is tried over HTTPS without checking and then HTTP, as
 * docker does; so is one that is declared insecure. May run a credential helper
 * (docker-credential-*). -EPERM: the registry is blocked by registries.conf.
 */
int registry_open(struct arena *arena, const struct image_reference *reference,
		  struct registry *ret, struct masu_error *err);

/*
 * What the repository in @text, behind @head ("/v2/", "repository:"), is called at the endpoint;
 * @back: the other way round. -ENAMETOOLONG.
 */
int registry_translate(const struct registry_endpoint *endpoint, const char *head, const char *text,
		       bool back, char *ret, size_t size);

/* For writing, and for what a mirror does not know: leaves the registry's own endpoints. */
void registry_drop_mirrors(struct registry *registry);

/* --insecure: the registry itself is reached without checking its certificate, and over HTTP. */
int registry_allow_insecure(struct arena *arena, struct registry *registry, struct masu_error *err);

/* ---- auth_file.c ---- */

/* The key docker keeps a registry's credentials under: the domain, docker.io's is a URL. */
const char *registry_auth_key(const char *domain);

/*
 * Credentials of @domain, or of the part of it that @path (NULL: none) is in, from files and
 * helpers; all NULL where there are none.
 */
int registry_credentials_find(struct arena *arena, const char *domain, const char *path,
			      struct registry_credentials *ret, struct masu_error *err);
/*
 * Keeps or (@credentials NULL) forgets credentials: with the helper that config.json names, else in
 * config.json itself (mode 0600, replaced atomically). *ret_where: what docker tells the user about
 * the place; NULL where nothing is worth telling.
 */
int registry_credentials_store(struct arena *arena, const char *domain,
			       const struct registry_credentials *credentials,
			       const char **ret_where, struct masu_error *err);

/* ---- registries_conf.c ---- */

enum registry_use { REGISTRY_FOR_ALL, REGISTRY_FOR_DIGESTS, REGISTRY_FOR_TAGS };

struct registry_rule {
	bool found, insecure, blocked;
	bool digests_only;    /* of all mirrors */
	const char *prefix;   /* that the rule is for */
	const char *location; /* NULL: the domain itself; in place of the prefix */
	const char *mirrors[REGISTRY_ENDPOINTS_MAX];
	bool mirror_insecure[REGISTRY_ENDPOINTS_MAX];
	enum registry_use mirror_use[REGISTRY_ENDPOINTS_MAX];
	size_t mirror_count;
};

/*
 * What registries.conf version 2 (containers-registries.conf(5)) says of @name ("a.example/b/c"):
 * the subset of TOML that it is written in. A table or key that masu does not know is skipped.
 * @rule: empty, or what a file before said, which stays where this one says nothing. -EBADMSG: a
 * line that is none.
 */
int registries_conf_parse(const char *text, size_t len, const char *name, struct arena *arena,
			  struct registry_rule *rule, struct masu_error *err);

/* ---- certificates.c ---- */

/* The certificates of an endpoint, from certs.d. -EINVAL: a client's without its key. */
int registry_certificates_read(struct arena *arena, struct registry_endpoint *endpoint,
			       struct masu_error *err);
