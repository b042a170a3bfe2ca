#include "base/id.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/str.h"

static int random_bytes(void *buffer, size_t len)
{
	ssize_t got = getrandom(buffer, len, 0);
	if (got < 0)
		return -errno;
	return (size_t)got == len ? 0 : -EIO;
}

int id_random(char ret_id[ID_LENGTH + 1])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t raw[ID_LENGTH / 2];
	int r = random_bytes(raw, sizeof(raw));
	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(raw); i++) {
		ret_id[2 * i] = digits[raw[i] >> 4];
		ret_id[2 * i + 1] = digits[raw[i] & 15];
	}
	ret_id[ID_LENGTH] = '\0';
	return 0;
}

bool id_prefix_valid(const char *s)
{
	size_t len = strspn(s, "0123456789abcdef");
	return len >= 1 && len <= ID_LENGTH && s[len] == '\0';
}

static const char *const adjectives[] = {
	"amber",  "brisk",  "calm",  "clever", "cosy",	  "eager",  "early",  "fair",
	"famous", "fine",   "fresh", "gentle", "glad",	  "golden", "grand",  "happy",
	"honest", "humble", "jolly", "keen",   "kind",	  "lively", "lucky",  "mellow",
	"merry",  "modest", "neat",  "noble",  "patient", "plain",  "polite", "proud",
	"quick",  "quiet",  "ready", "round",  "silent",  "simple", "smooth", "sober",
	"solid",  "steady", "sunny", "swift",  "tidy",	  "upbeat", "warm",   "wise",
};

static const char *const surnames[] = {
	"allen",    "babbage",	"bohr",	    "boole",   "curie",	   "darwin",  "dijkstra", "euclid",
	"euler",    "faraday",	"fermat",   "fermi",   "franklin", "galileo", "gauss",	  "goodall",
	"hamilton", "hopper",	"hypatia",  "johnson", "kepler",   "knuth",   "lamport",  "leibniz",
	"liskov",   "lovelace", "maxwell",  "mcnulty", "meitner",  "mendel",  "morse",	  "newton",
	"nobel",    "noether",	"pascal",   "pasteur", "perlman",  "ritchie", "sammet",	  "seki",
	"shannon",  "tesla",	"thompson", "turing",  "volta",	   "wiles",   "yalow",	  "yukawa",
};

int id_random_name(char ret[64], unsigned attempt)
{
	uint8_t raw[3];
	int r = random_bytes(raw, sizeof(raw));
	if (r < 0)
		return r;
	const char *first = adjectives[raw[0] % ARRAY_SIZE(adjectives)];
	const char *second = surnames[raw[1] % ARRAY_SIZE(surnames)];
	if (attempt == 0)
		return str_format(ret, 64, "%s_%s", first, second);
	return str_format(ret, 64, "%s_%s%u", first, second, raw[2] + attempt * 256u - 256u);
}
