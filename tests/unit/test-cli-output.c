/* What the command line prints and reads: templates, tables, times, detach keys, framed streams. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cli/format.h"
#include "cli/ps.h"
#include "cli/relay.h"
#include "cli/template.h"
#include "cli/terminal.h"
#include "cli/time_text.h"
#include "engine/protocol.h"

/* ---- templates ---- */

static const char document[] =
	"{\"Name\":\"/"
	"web\",\"Id\":\"0123456789abcdef\",\"N\":3,\"Zero\":0,\"Yes\":true,\"None\":null,"
	"\"Empty\":[],\"Cmd\":[\"sh\",\"-c\",\"x "
	"y\"],\"Config\":{\"Labels\":{\"b\":\"2\",\"a.b\":\"1\"}},"
	"\"Mounts\":[{\"Src\":\"/a\"},{\"Src\":\"/b\"}]}";

static int render(const char *text, struct buf *out, struct masu_error *err)
{
	_cleanup_arena_ struct arena arena = { 0 };
	const struct json *data;
	assert_int_equal(json_parse(&arena, document, sizeof(document) - 1, &data, NULL), 0);
	return template_render(&arena, text, data, out, err);
}

static void test_templates(void **state)
{
	static const struct {
		const char *template, *text;
	} cases[] = {
		{ "plain", "plain" },
		{ "", "" },
		{ "{{.Name}}", "/web" },
		{ "a{{ .N }}b{{.Yes}}c{{.None}}", "a3btruec[]" },
		{ "{{.Cmd}}", "[sh -c x y]" },
		{ "{{.Config.Labels}}", "map[a.b:1 b:2]" },
		{ "{{.Config.Labels.b}} {{.Config.Labels.nope}}", "2 <no value>" },
		{ "{{index .Config.Labels \"a.b\"}}", "1" },
		{ "{{index .Cmd 2}}", "x y" },
		{ "{{json .Cmd}} {{json .Config.Labels}}",
		  "[\"sh\",\"-c\",\"x y\"] {\"b\":\"2\",\"a.b\":\"1\"}" },
		{ "{{join .Cmd \",\"}}", "sh,-c,x y" },
		{ "{{.Cmd | json}}", "[\"sh\",\"-c\",\"x y\"]" },
		{ "{{.Name | upper | printf \"<%s>\"}}", "</WEB>" },
		{ "{{slice .Id 0 12}}", "0123456789ab" },
		{ "{{truncate .Name 2}}", "/w" },
		{ "{{len .Cmd}} {{len .Name}}", "3 4" },
		{ "{{range .Mounts}}{{.Src}};{{end}}", "/a;/b;" },
		{ "{{range $i, $m := .Mounts}}{{$i}}={{$m.Src}} {{end}}", "0=/a 1=/b " },
		{ "{{range $k, $v := .Config.Labels}}{{$k}}:{{$v}} {{end}}", "a.b:1 b:2 " },
		{ "{{range .Empty}}x{{else}}none{{end}}", "none" },
		{ "{{range .None}}x{{end}}", "" },
		{ "{{range .Mounts}}{{$.N}}{{end}}", "33" },
		{ "{{if .Yes}}y{{else}}n{{end}}", "y" },
		{ "{{if .Zero}}y{{else if eq .N 3}}three{{else}}n{{end}}", "three" },
		{ "{{if and .Yes (not .Zero)}}ok{{end}}", "ok" },
		{ "{{if or .Zero .None}}y{{end}}", "" },
		{ "{{with .Config}}{{.Labels.b}}{{end}}", "2" },
		{ "{{with .None}}x{{else}}y{{end}}", "y" },
		{ "{{$x := .N}}{{$x}}", "3" },
		{ "a  {{- .N -}}  b", "a3b" },
		{ "{{/* comment }} */}}x", "x" },
		{ "{{eq .N 3}} {{ne .Name \"x\"}} {{lt .N 4}} {{ge .N 4}}",
		  "true true true false" },
		{ "{{println .N}}", "3\n" },
		{ "{{print \"a\" 1 2 \"b\"}}", "a1 2b" },
		{ "{{println 1 \"a\"}}", "1 a\n" },
		{ "{{.Mounts}}", "[{/a} {/b}]" },
		{ "{{index .Config.Labels \"nope\"}}|", "|" },
		{ "{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2" },
		{ "{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21" },
		{ "{{range .Cmd}}{{if eq . \"-c\"}}{{continue}}{{end}}{{.}};{{end}}", "sh;x y;" },
		{ "{{range .Cmd}}{{if eq . \"-c\"}}{{break}}{{end}}{{.}};{{end}}", "sh;" },
		{ "{{or 1 .Nope}} {{and 0 .Nope}}", "1 0" },
		{ "{{printf \"%5s|%-5s|%05d|%x|%X|%o|%q|%v|%t|%c|%U|%%\" \"ab\" \"cd\" 42 255 255 "
		  "8 "
		  "\"q\" 1.5 true 65 65}}",
		  "   ab|cd   |00042|ff|FF|10|\"q\"|1.5|true|A|U+0041|%" },
		{ "{{printf \"%.2f %e %.3s %T %b\" 1.5 1.5 \"abcdef\" 1 5}}",
		  "1.50 1.500000e+00 abc int 101" },
		{ "{{printf \"%d %s\" \"a\" 1}}{{printf \"%d\"}}{{printf \"%d\" 1 2}}",
		  "%!d(string=a) %!s(int=1)%!d(MISSING)1%!(EXTRA int=2)" },
		{ "{{pad \"x\" 2 3}}|{{pad \"\" 2 3}}|", "  x   ||" },
		{ "{{truncate \"ab\" 5}}{{truncate \"abc\" 2}}", "abab" },
		{ "{{html \"<a>\"}} {{urlquery \"a b&c\"}} {{js \"'<\"}}",
		  "&lt;a&gt; a+b%26c \\'\\u003C" },
		{ "{{slice .Cmd 1 2}} {{slice .Id 2 4}}", "[-c] 23" },
		{ "{{1.5}} {{0x10}} {{-3}} {{1e3}} {{'a'}} {{\"\\x41\\u0042\"}}",
		  "1.5 16 -3 1000 97 AB" },
		{ "{{/* a */}}x{{- /* b */ -}} y", "xy" },
		{ "{{with $x := .Config}}{{$x.Labels.b}}{{end}}", "2" },
		{ "{{\"quoted \\\" }}\"}}", "quoted \" }}" },
		{ "{{`raw`}}", "raw" },
		{ "{{(index .Mounts 1).Src}}", "/b" },
		{ "{{title \"ab cd\"}} {{lower \"AB\"}}", "Ab Cd ab" },
		{ "{{range split \"a,b\" \",\"}}[{{.}}]{{end}}", "[a][b]" },
		{ "{{define \"x\"}}a{{.}}{{end}}[{{template \"x\"}}][{{template \"x\" \"q\"}}]",
		  "[a<no value>][aq]" },
		{ "{{block \"b\" .Name}}<{{.}}>{{end}}{{template \"b\" 1}}", "</web><1>" },
		{ "{{define \"x\"}} {{end}}{{define \"x\"}}2{{end}}{{template \"x\"}}", "2" },
		{ "{{define \"x\"}}2{{end}}{{define \"x\"}}{{/* */}}{{end}}{{template \"x\"}}",
		  "2" },
		{ "{{template \"x\" 1 | printf \"%d\"}}{{define \"x\"}}{{$}}{{end}}", "1" },
		{ "{{define \"x\"}}{{block \"y\" .}}Y{{.}}{{end}}{{end}}{{template \"y\" "
		  "1}}{{template "
		  "\"x\" 2}}",
		  "Y1Y2" },
		{ "a {{- define \"x\" -}} b {{- end}}{{$v := 1}}{{template \"x\" .}}{{$v}}",
		  "ab1" },
		{ "{{define \"x\"}}{{$v := .}}{{range 2}}{{$v}}{{.}} {{end}}{{end}}{{range "
		  ".Cmd}}{{template "
		  "\"x\" .}}{{end}}",
		  "sh0 sh1 -c0 -c1 x y0 x y1 " },
		{ "{{define \"x\"}}{{.A}}{{end}}{{template \"x\"}}", "<no value>" },
		{ "{{range 3}}{{.}}{{end}} {{range $i := 2}}{{$i}};{{end}}", "012 0;1;" },
		{ "{{range 0}}x{{else}}none{{end}}{{range -2}}x{{else}}none{{end}}", "nonenone" },
		{ "{{0b11}} {{0o17}} {{017}} {{1_000}} {{-0x10}} {{0}}", "3 15 15 1000 -16 0" },
		{ "{{with 0}}{{else with 5}}{{.}}{{end}}", "5" },
		{ "{{if .Zero}}{{range .Mounts}}{{.Nope}}{{end}}{{end}}ok", "ok" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf out = { 0 };
		struct masu_error err = { 0 };
		if (render(cases[i].template, &out, &err) < 0)
			fail_msg("%s: %s", cases[i].template, err.message);
		if (!streq(buf_str(&out), cases[i].text))
			fail_msg("%s gave \"%s\"", cases[i].template, buf_str(&out));
	}
}

static void test_templates_refused(void **state)
{
	static const struct {
		const char *template, *message;
	} cases[] = {
		/* Docker's client said these of the same kinds of values. */
		{ "{{.Nope}}",
		  "template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\"" },
		{ "{{.Config.Nope}}", ":1:9: executing \"\" at <.Config.Nope>" },
		{ "x\n{{.Name\n}} {{.Nope}}", "template: :3:5: executing" },
		{ "{{.Name.x}}", "can't evaluate field x in type interface {}" },
		{ "{{", "template: :1: unclosed action" },
		{ "{{.Name", "template: :1: unclosed action" },
		{ "{{\"x}}", "template: :1: unterminated quoted string" },
		{ "{{`x}}", "template: :1: unterminated raw quoted string" },
		{ "x\n\n {{nope .N}}", "template: :3: function \"nope\" not defined" },
		{ "{{if false}}{{nope}}{{end}}", "function \"nope\" not defined" },
		{ "{{end}}", "template: :1: unexpected {{end}}" },
		{ "{{else}}", "template: :1: unexpected {{else}}" },
		{ "{{if .Yes}}", "template: :1: unexpected EOF" },
		{ "{{range .Mounts}}x", "template: :1: unexpected EOF" },
		{ "{{if .N}}a{{else}}b{{else}}c{{end}}", "expected end; found {{else}}" },
		{ "{{range .Name}}x{{end}}", "at <.Name>: range can't iterate over /web" },
		{ "{{index .Cmd 9}}",
		  "at <index .Cmd 9>: error calling index: index out of range: 9" },
		{ "{{index .Cmd \"x\"}}", "cannot index slice/array with type string" },
		{ "{{index .Config.Labels 1}}", "value has type int; should be string" },
		{ "{{index nil 1}}", "index of untyped nil" },
		{ "{{slice .Id 3 1}}", "invalid slice index: 3 > 1" },
		{ "{{slice .Id 0 99}}", "index out of range: 99" },
		{ "{{json}}", "at <json>: wrong number of args for json: want 1 got 0" },
		{ "{{and}}", "wrong number of args for and: want at least 1 got 0" },
		{ "{{.N 1}}", "at <.N>: N is not a method but has arguments" },
		{ "{{1 | .N}}", "N is not a method but has arguments" },
		{ "{{.N | 1}}", "non executable command in pipeline stage 2" },
		{ "{{$x}}", "template: :1: undefined variable \"$x\"" },
		{ "{{if true}}{{$x := 1}}{{end}}{{$x}}", "undefined variable \"$x\"" },
		{ "{{$a, $b := .N}}", "too many declarations in command" },
		{ "{{range $a, 1}}{{end}}", "range can only initialize variables" },
		{ "{{if .Nope}}x{{end}}", "map has no entry" },
		{ "{{if}}x{{end}}", "missing value for if" },
		{ "{{with nope}}x{{end}}", "not defined" },
		{ "{{range .Nope}}x{{end}}", "map has no entry" },
		{ "{{(.N}}", "unclosed left paren" },
		{ "{{.N)}}", "unexpected right paren" },
		{ "{{.N,}}", "unexpected \",\" in operand" },
		{ "{{ | .N}}", "unexpected \"|\" in command" },
		{ "{{(1)(2)}}", "unexpected \"(\" in operand" },
		{ "{{.N.}}", "unexpected <.> in operand" },
		{ "{{.N-m}}", "bad character U+002D '-'" },
		{ "{{.}x}}", "bad character U+007D '}'" },
		{ "{{!}}", "unexpected \"!\" in command" },
		{ "{{end .N}}", "unexpected \".N\" in end" },
		{ "{{}}", "missing value for command" },
		{ "{{break}}", "{{break}} outside {{range}}" },
		{ "{{nil}}", "nil is not a command" },
		{ "{{12ab}}", "bad number syntax: \"12a\"" },
		{ "{{\"\\z\"}}", "invalid syntax" },
		{ "{{/* x }}", "unclosed comment" },
		{ "{{/* x */ y}}", "comment ends before closing delimiter" },
		{ "{{len 3}}", "error calling len: len of type int" },
		{ "{{eq 1 \"a\"}}", "error calling eq: incompatible types for comparison" },
		{ "{{lt true false}}", "error calling lt: invalid type for comparison" },
		{ "{{join .Name \",\"}}",
		  "at <.Name>: wrong type for value; expected []string; got string" },
		{ "{{upper 1}}", "at <1>: expected string; found 1" },
		{ "{{template \"x\"}}",
		  ":1:11: executing \"\" at <{{template \"x\"}}>: template \"x\" not defined" },
		{ "{{template \"x\" .Name}}", ":1:11: executing \"\" at <{{template \"x\" "
					      ".Name}}>: template \"x\" not defined" },
		{ "{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}",
		  ":1:25: executing \"x\" at <{{template \"x\"}}>: exceeded maximum template "
		  "depth" },
		{ "{{template \"\"}}", "exceeded maximum template depth" },
		{ "{{if true}}{{define \"x\"}}{{end}}{{end}}", "unexpected <define> in command" },
		{ "{{define x}}{{end}}", "template: :1: unexpected \"x\" in define clause" },
		{ "{{define \"x\"}}", "template: :1: unexpected EOF" },
		{ "{{define \"x\"}}{{else}}{{end}}", "unexpected {{else}} in define clause" },
		{ "{{define \"x\"}}1{{end}}{{define \"x\"}}2{{end}}",
		  "template: :1: template: multiple definition of template \"x\"" },
		{ "{{template x}}", "template: :1: unexpected \"x\" in template clause" },
		{ "{{template \"x\" .Name", "template: :1: unclosed action" },
		{ "{{block \"x\"}}{{end}}", "template: :1: missing value for block clause" },
		{ "{{$a := 1}}{{define \"x\"}}{{$a}}{{end}}", "undefined variable \"$a\"" },
		{ "{{range 2}}{{block \"x\" .}}{{break}}{{end}}{{end}}", "outside {{range}}" },
		{ "{{define \"x\"}}{{.Nope}}{{end}}{{template \"x\" .}}",
		  "template: :1:16: executing \"x\" at <.Nope>" },
		{ "{{range $i, $e := 2}}{{end}}", ":1:18: executing \"\" at <2>: can't use 2 to "
						  "iterate over more than one variable" },
		{ "{{range 1.5}}{{end}}", "at <1.5>: range can't iterate over 1.5" },
		{ "{{range 9999999999}}{{end}}", "at <9999999999>: too many items" },
		{ "{{call 1}}", "at <call 1>: error calling call: non-function 1 of type int" },
		{ "{{0b12}}", "bad number syntax" },
		{ "{{((((((((((((((((((((((((((((((((((.N))))))))))))))))))))))))))))))))))}}",
		  "nested too deeply" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf out = { 0 };
		struct masu_error err = { 0 };
		int r = render(cases[i].template, &out, &err);
		if (r >= 0 || !strstr(err.message, cases[i].message))
			fail_msg("%s: %d \"%s\"", cases[i].template, r, err.message);
	}
}

/* ---- ps ---- */

static void test_published_ports(void **state)
{
	static const struct {
		const char *options[4], *shown;
		bool ipv6;
	} cases[] = {
		{ { "8080:80" }, "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp", true },
		{ { "8080:80", "127.0.0.1:53:53/udp" },
		  "127.0.0.1:53->53/udp, 0.0.0.0:8080->80/tcp",
		  false },
		{ { "9000-9001:90-91" }, "0.0.0.0:9000->90/tcp, 0.0.0.0:9001->91/tcp", false },
		{ { "90-92:90-92" }, "0.0.0.0:90-92->90-92/tcp, [::]:90-92->90-92/tcp", true },
		{ { "90:90", "91:91", "93:93" },
		  "0.0.0.0:90-91->90-91/tcp, 0.0.0.0:93->93/tcp",
		  false },
		{ { "90:90", "91:91/udp" }, "0.0.0.0:90->90/tcp, 0.0.0.0:91->91/udp", false },
		{ { "[fd00::1]:90:90" }, "[fd00::1]:90->90/tcp", false },
		{ { 0 }, "", false },
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_arena_ struct arena arena = { 0 };
		_cleanup_buf_ struct buf out = { 0 };
		struct network_endpoint endpoint = { .has_ipv6 = cases[i].ipv6 };
		struct container container = { .status = CONTAINER_RUNNING,
					       .endpoints = &endpoint,
					       .endpoint_count = 1 };
		for (size_t k = 0; k < ARRAY_SIZE(cases[i].options) && cases[i].options[k]; k++) {
			struct masu_error err = { 0 };
			if (network_port_parse(&arena, cases[i].options[k], &endpoint.ports,
					       &endpoint.port_count, &err) < 0)
				fail_msg("%s: %s", cases[i].options[k], err.message);
		}
		ps_ports(&container, &out);
		assert_string_equal(buf_str(&out), cases[i].shown);
		buf_reset(&out);
		container.status = CONTAINER_EXITED;
		ps_ports(&container, &out);
		assert_string_equal(buf_str(&out), "");
	}
}

/* ---- times ---- */

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} cases[] = { { "10s", 10000000000 },
		      { "1h30m", 5400000000000 },
		      { "300ms", 300000000 },
		      { "1.5h", 5400000000000 },
		      { "5us", 5000 },
		      { "7ns", 7 },
		      { "0s", 0 } };
	static const char *const bad[] = { "",	  "1",	 "s",	  "1x",
					   "-1s", "1s ", "1..5s", "99999999999999h" };
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t ns = -1;
		assert_int_equal(time_parse_duration(cases[i].text, &ns), 0);
		if (ns != cases[i].ns)
			fail_msg("%s: %lld", cases[i].text, (long long)ns);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int64_t ns;
		if (time_parse_duration(bad[i], &ns) != -EINVAL)
			fail_msg("\"%s\" accepted", bad[i]);
	}
}

static void test_points_in_time(void **state)
{
	static const struct {
		const char *text, *point;
	} cases[] = {
		{ "2024-01-31T12:00:00Z", "2024-01-31T12:00:00.000000000Z" },
		{ "2024-01-31T12:00:00.5+02:00", "2024-01-31T10:00:00.500000000Z" },
		{ "2024-01-31T12:00", "2024-01-31T12:00:00.000000000Z" },
		{ "2024-01-31", "2024-01-31T00:00:00.000000000Z" },
		{ "0", "1970-01-01T00:00:00.000000000Z" },
		{ "1706702400.000000123", "2024-01-31T12:00:00.000000123Z" },
	};
	static const char *const bad[] = { "",	 "x", "2024", "2024-01-31T", "2024-01-31T12:00:00X",
					   "-5s" };
	_cleanup_arena_ struct arena arena = { 0 };
	const char *point;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct masu_error err = { 0 };
		if (time_parse_point(&arena, cases[i].text, &point, &err) < 0)
			fail_msg("%s: %s", cases[i].text, err.message);
		assert_string_equal(point, cases[i].point);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (!streq(bad[i], "2024") &&
		    time_parse_point(&arena, bad[i], &point, NULL) != -EINVAL)
			fail_msg("\"%s\" accepted", bad[i]);
	assert_int_equal(time_parse_point(&arena, "10m", &point, NULL), 0);
}

/* ---- detach keys ---- */

static void test_detach_keys(void **state)
{
	static const char *const bad[] = { "ctrl-",  "ctrl-1",
					   "ab",     "ctrl-p,",
					   ",a",     "ctrl-pp",
					   "CTRL-p", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q" };
	struct detach_keys keys;
	struct masu_error err = { 0 };
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (detach_keys_parse(bad[i], &keys, &err) != -EINVAL)
			fail_msg("\"%s\" accepted", bad[i]);
	assert_int_equal(detach_keys_parse("", &keys, &err), 0);
	assert_int_equal(keys.length, 0);
	assert_int_equal(detach_keys_parse("ctrl-p,ctrl-q", &keys, &err), 0);
	unsigned char out[64];
	size_t len;
	/* Held back, then broken off: nothing is lost. */
	assert_false(detach_keys_filter(&keys, (const unsigned char *)"ab\x10", 3, out, &len));
	assert_int_equal(len, 2);
	assert_false(detach_keys_filter(&keys, (const unsigned char *)"c", 1, out, &len));
	assert_memory_equal(out,
			    "\x10"
			    "c",
			    len);
	/* The key twice: the first goes through, the second begins the sequence anew. */
	assert_true(
		detach_keys_filter(&keys, (const unsigned char *)"x\x10\x10\x11y", 5, out, &len));
	assert_int_equal(len, 2);
	assert_memory_equal(out, "x\x10", 2);
	assert_int_equal(detach_keys_parse("", &keys, &err), 0);
	assert_false(detach_keys_filter(&keys, (const unsigned char *)"\x10\x11", 2, out, &len));
	assert_int_equal(len, 2);
}

/* ---- relay ---- */

static void put_frame(struct buf *out, int stream, const char *data)
{
	size_t len = strlen(data);
	const unsigned char header[STREAM_HEADER_SIZE] = {
		(unsigned char)stream, 0, 0, 0, 0, 0, (unsigned char)(len >> 8), (unsigned char)len
	};
	buf_append(out, header, sizeof(header));
	buf_append(out, data, len);
}

/* Runs a relay in a child whose stdout and stderr are files; what it read from us is returned. */
struct relayed {
	int result;
	char out[256], err[256], in[256];
};

static void read_back(int fd, char *into, size_t size)
{
	ssize_t got = pread(fd, into, size - 1, 0);
	into[got > 0 ? got : 0] = '\0';
}

static int child_relay(int stream, int end, const char *keys_text)
{
	_cleanup_arena_ struct arena arena = { 0 };
	struct detach_keys keys;
	struct relay relay = {
		.stdin_ = true, .framed = true, .in = stream, .out = { stream, -1 }, .end = end
	};
	if (keys_text && detach_keys_parse(keys_text, &keys, NULL) == 0)
		relay.keys = &keys;
	return relay_run(&relay, &arena, NULL);
}

/* @chunk: the stream is sent in pieces of so many bytes. */
static void run_relay(const struct buf *stream, size_t chunk, const char *input, const char *keys,
		      struct relayed *ret)
{
	int pair[2], end[2], in[2];
	char path[] = "/tmp/masu-relay-XXXXXX";
	int out = mkstemp(path), err = dup(out);
	unlink(path);
	char err_path[] = "/tmp/masu-relay-XXXXXX";
	close(err);
	err = mkstemp(err_path);
	unlink(err_path);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pipe2(end, O_CLOEXEC), 0);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(in[0], 0);
		dup2(out, 1);
		dup2(err, 2);
		close(pair[0]);
		close(end[1]);
		close(in[1]);
		int r = child_relay(pair[1], end[0], keys);
		_exit(r < 0 ? 100 : r);
	}
	close(pair[1]);
	close(end[0]);
	close(in[0]);
	assert_int_equal(write(in[1], input, strlen(input)), strlen(input));
	close(in[1]);
	for (size_t at = 0; at < stream->len; at += chunk) {
		size_t n = stream->len - at < chunk ? stream->len - at : chunk;
		assert_int_equal(write(pair[0], stream->data + at, n), n);
	}
	/* The child's end of input shows as end of file here. */
	size_t used = 0;
	ssize_t got;
	while ((got = read(pair[0], ret->in + used, sizeof(ret->in) - 1 - used)) > 0)
		used += (size_t)got;
	ret->in[used] = '\0';
	close(pair[0]);
	close(end[1]);
	int status;
	waitpid(pid, &status, 0);
	ret->result = WEXITSTATUS(status);
	read_back(out, ret->out, sizeof(ret->out));
	read_back(err, ret->err, sizeof(ret->err));
	close(out);
	close(err);
}

static void test_relay_separates_streams(void **state)
{
	_cleanup_buf_ struct buf stream = { 0 };
	put_frame(&stream, 1, "one ");
	put_frame(&stream, 2, "error");
	put_frame(&stream, 1, "");
	put_frame(&stream, 1, "two");
	static const size_t chunks[] = { 1, 3, 7, 8, 9, 1000 };
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		struct relayed relayed;
		run_relay(&stream, chunks[i], "typed", NULL, &relayed);
		assert_int_equal(relayed.result, RELAY_ENDED);
		assert_string_equal(relayed.out, "one two");
		assert_string_equal(relayed.err, "error");
		assert_string_equal(relayed.in, "typed");
	}
}

static void test_relay_detaches(void **state)
{
	_cleanup_buf_ struct buf stream = { 0 };
	struct relayed relayed;
	run_relay(&stream, 1,
		  "ab\x10\x11"
		  "cd",
		  "ctrl-p,ctrl-q", &relayed);
	assert_int_equal(relayed.result, RELAY_DETACHED);
	assert_string_equal(relayed.in, "ab");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_templates_refused),
		cmocka_unit_test(test_published_ports),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_points_in_time),
		cmocka_unit_test(test_detach_keys),
		cmocka_unit_test(test_relay_separates_streams),
		cmocka_unit_test(test_relay_detaches),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
