#include "base/regex.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define DEPTH_MAX 32

/* A program for a machine that follows all ways at once (Thompson's construction). */
enum { STEP_SET, STEP_BRANCH, STEP_BEGIN, STEP_END, STEP_MATCH };

struct compiler {
	const char *p;
	struct regex *regex;
	unsigned depth;
	int error;
};

static void compile_choice(struct compiler *c);

static struct regex_step *add_step(struct compiler *c, uint8_t kind)
{
	static struct regex_step spare;
	if (c->regex->count == REGEX_STEPS_MAX) {
		c->error = -E2BIG;
		return &spare;
	}
	struct regex_step *step = &c->regex->steps[c->regex->count++];
	*step = (struct regex_step) { .kind = kind };
	return step;
}

/* A branch in front of the steps from @at on. */
static void insert_branch(struct compiler *c, unsigned at, int first, int second)
{
	struct regex_step *steps = c->regex->steps;
	unsigned count = c->regex->count - at;
	add_step(c, STEP_BRANCH);
	if (c->error)
		return;
	memmove(steps + at + 1, steps + at, count * sizeof(*steps));
	steps[at] = (struct regex_step) { .kind = STEP_BRANCH,
					  .to = { (int16_t)first, (int16_t)second } };
}

static void add_range(struct regex_step *set, unsigned from, unsigned to)
{
	for (unsigned byte = from; byte <= to; byte++)
		set->bytes[byte / 8] |= (uint8_t)(1u << byte % 8);
}

static void invert(struct regex_step *set)
{
	for (size_t i = 0; i < sizeof(set->bytes); i++)
		set->bytes[i] = (uint8_t)~set->bytes[i];
}

/* What a backslash and @c stand for is added; false: nothing. */
static bool add_escape(struct regex_step *set, char c)
{
	struct regex_step class = { 0 };
	switch (c | 0x20) {
	case 'w':
		add_range(&class, 'a', 'z');
		add_range(&class, 'A', 'Z');
		add_range(&class, '_', '_');
		__attribute__((fallthrough));
	case 'd':
		add_range(&class, '0', '9');
		break;
	case 's':
		add_range(&class, '\t', '\r');
		add_range(&class, ' ', ' ');
		break;
	default:
		if (!c || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9'))
			return false;
		add_range(&class, (unsigned char)c, (unsigned char)c);
		c = 'x';
	}
	if (c < 'a')
		invert(&class);
	for (size_t i = 0; i < sizeof(set->bytes); i++)
		set->bytes[i] |= class.bytes[i];
	return true;
}

/* "[...]", behind the bracket. */
static void compile_set(struct compiler *c)
{
	struct regex_step *set = add_step(c, STEP_SET);
	bool inverted = *c->p == '^';
	c->p += inverted;
	for (bool first = true; *c->p != ']' || first; first = false) {
		unsigned char from = (unsigned char)*c->p++;
		if (!from || (from == '[' && *c->p == ':') ||
		    (from == '\\' && !add_escape(set, *c->p))) {
			c->error = -EINVAL;
			return;
		}
		if (from == '\\') {
			c->p++;
			continue;
		}
		unsigned char to = from;
		if (c->p[0] == '-' && c->p[1] && c->p[1] != ']') {
			to = (unsigned char)c->p[1];
			c->p += 2;
		}
		if (to < from)
			c->error = -EINVAL;
		add_range(set, from, to);
	}
	c->p++;
	if (inverted)
		invert(set);
}

static void compile_group(struct compiler *c)
{
	if (*c->p == '?' || ++c->depth > DEPTH_MAX) {
		c->error = -EINVAL;
		return;
	}
	compile_choice(c);
	c->depth--;
	if (*c->p == ')')
		c->p++;
	else
		c->error = -EINVAL;
}

static void compile_atom(struct compiler *c)
{
	char atom = *c->p++;
	switch (atom) {
	case '(':
		compile_group(c);
		break;
	case '[':
		compile_set(c);
		break;
	case '.':
		invert(add_step(c, STEP_SET));
		break;
	case '^':
		add_step(c, STEP_BEGIN);
		break;
	case '$':
		add_step(c, STEP_END);
		break;
	case '\\':
		if (!add_escape(add_step(c, STEP_SET), *c->p++))
			c->error = -EINVAL;
		break;
	case '*':
	case '+':
	case '?':
	case '{':
		c->error = -EINVAL;
		break;
	default:
		add_range(add_step(c, STEP_SET), (unsigned char)atom, (unsigned char)atom);
	}
}

static void compile_repeated(struct compiler *c)
{
	unsigned at = c->regex->count;
	compile_atom(c);
	int len = (int)(c->regex->count - at);
	if (c->error || !*c->p || !strchr("*+?", *c->p))
		return;
	char how = *c->p++;
	if (how == '+') {
		add_step(c, STEP_BRANCH)->to[0] = (int16_t)-len;
		if (!c->error)
			c->regex->steps[c->regex->count - 1].to[1] = 1;
		return;
	}
	insert_branch(c, at, 1, len + (how == '*' ? 2 : 1));
	if (how == '*') {
		struct regex_step *back = add_step(c, STEP_BRANCH);
		back->to[0] = back->to[1] = (int16_t)(-len - 1);
	}
}

/* One alternative after the other: branch to each, and from its end behind all. */
static void compile_choice(struct compiler *c)
{
	unsigned at = c->regex->count;
	while (!c->error && *c->p && *c->p != '|' && *c->p != ')')
		compile_repeated(c);
	if (c->error || *c->p != '|')
		return;
	c->p++;
	int len = (int)(c->regex->count - at);
	insert_branch(c, at, 1, len + 2);
	unsigned end = c->regex->count;
	add_step(c, STEP_BRANCH);
	compile_choice(c);
	if (!c->error) {
		int16_t over = (int16_t)(c->regex->count - end);
		c->regex->steps[end].to[0] = c->regex->steps[end].to[1] = over;
	}
}

int regex_compile(const char *expression, struct regex *ret)
{
	struct compiler c = { .p = expression, .regex = ret };
	ret->count = 0;
	compile_choice(&c);
	if (!c.error && *c.p)
		c.error = -EINVAL;
	add_step(&c, STEP_MATCH);
	return c.error;
}

/* ---- matching ---- */

struct states {
	uint8_t on[REGEX_STEPS_MAX];
};

/* Follows what takes no byte. True where that matches. */
static bool enter(const struct regex *regex, struct states *states, int at, bool begin, bool end)
{
	const struct regex_step *step = &regex->steps[at];
	if (states->on[at])
		return false;
	states->on[at] = 1;
	if (step->kind == STEP_MATCH)
		return true;
	if (step->kind == STEP_BRANCH)
		return enter(regex, states, at + step->to[0], begin, end) ||
		       enter(regex, states, at + step->to[1], begin, end);
	if ((step->kind == STEP_BEGIN && begin) || (step->kind == STEP_END && end))
		return enter(regex, states, at + 1, begin, end);
	return false;
}

bool regex_matches(const struct regex *regex, const char *text)
{
	struct states now = { 0 };
	for (const char *p = text;; p++) {
		struct states next = { 0 };
		unsigned char byte = (unsigned char)*p;
		/* A match may begin anywhere. */
		if (enter(regex, &now, 0, p == text, !byte))
			return true;
		if (!byte)
			return false;
		for (unsigned i = 0; i < regex->count; i++)
			if (now.on[i] && regex->steps[i].kind == STEP_SET &&
			    (regex->steps[i].bytes[byte / 8] >> byte % 8 & 1) &&
			    enter(regex, &next, (int)i + 1, false, !p[1]))
				return true;
		now = next;
	}
}
