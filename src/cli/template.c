/* Running a parsed template: blocks, pipelines, operands. */
#include "cli/template.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/template_internal.h"

/* How a list of nodes ended; text/template's {{break}} and {{continue}}. */
enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

int template_run_error(struct template_run *run, const char *position, struct span source,
		       const char *fmt, ...)
{
	char what[MASU_ERROR_MAX / 2];
	const char *line = run->t->text;
	unsigned number = 1;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	for (const char *p = run->t->text; p < position; p++)
		if (*p == '\n') {
			number++;
			line = p + 1;
		}
	return error_set(run->err, -EINVAL, "template: :%u:%zu: executing \"%s\" at <%.*s>: %s",
			 number, (size_t)(position - line), run->name,
			 (int)(source.len > 100 ? 100 : source.len), source.at, what);
}

static int no_memory(struct template_run *run)
{
	return error_set(run->err, -ENOMEM, "out of memory");
}

static int eval_pipeline(struct template_run *run, const struct json *dot,
			 const struct pipeline *pipeline, const struct json **ret);

/* ---- operands ---- */

static const struct json *variable_value(const struct template_run *run, struct span name)
{
	for (size_t i = run->variable_count; i-- > run->variable_first;) {
		const struct template_variable *variable = &run->variables[i];
		if (variable->name.len == name.len &&
		    memcmp(variable->name.at, name.at, name.len) == 0)
			return variable->value;
	}
	return NULL;
}

/* A member that a structure does not have is an error; a map has it or has no value for it. */
static int eval_fields(struct template_run *run, const struct operand *operand,
		       const struct json *value, const struct json **ret)
{
	for (const char **name = operand->fields; name && *name; name++) {
		if (value->type != JSON_OBJECT && value->type != JSON_NULL)
			return template_run_error(run, operand->position, operand->source,
						  "can't evaluate field %s in type interface {}",
						  *name);
		if (value->type == JSON_NULL && value != &template_no_value &&
		    !template_is_map(value))
			return template_run_error(run, operand->position, operand->source,
						  "nil data; no entry for key \"%s\"", *name);
		const struct json *member = json_get(value, *name);
		if (!member && !template_is_map(value) && !name[1])
			member = template_optional(value, *name);
		if (!member && !template_is_map(value))
			return template_run_error(run, operand->position, operand->source,
						  "map has no entry for key \"%s\"", *name);
		value = member ? member : &template_no_value;
	}
	*ret = value;
	return 0;
}

static int call_function(struct template_run *run, const struct json *dot,
			 const struct template_function *function, const struct operand *args,
			 struct span source, const struct json *piped, const struct json **ret);

static int eval_operand(struct template_run *run, const struct json *dot,
			const struct operand *operand, const struct json **ret)
{
	static const struct json nil = { .type = JSON_NULL };
	const struct json *value = dot;
	int r = 0;
	switch (operand->kind) {
	case OPERAND_DOT:
		break;
	case OPERAND_NIL:
		value = &nil;
		break;
	case OPERAND_VALUE:
		value = operand->value;
		break;
	case OPERAND_VARIABLE:
		value = variable_value(run, operand->name);
		if (!value)
			return template_run_error(run, operand->position, operand->source,
						  "undefined variable: %.*s",
						  (int)operand->name.len, operand->name.at);
		break;
	case OPERAND_FUNCTION:
		r = call_function(run, dot, operand->function, NULL, operand->source, NULL, &value);
		break;
	case OPERAND_PIPELINE:
		r = eval_pipeline(run, dot, operand->pipeline, &value);
		break;
	}
	return r < 0 ? r : eval_fields(run, operand, value, ret);
}

/* ---- commands ---- */

/* "and", "or": the first argument that decides, and none behind it is looked at. */
static int eval_logic(struct template_run *run, const struct json *dot, bool until,
		      const struct operand *args, const struct json *piped, const struct json **ret)
{
	for (; args; args = args->next) {
		int r = eval_operand(run, dot, args, ret);
		if (r < 0)
			return r;
		if (template_truth(*ret) == until)
			return 0;
	}
	if (piped)
		*ret = piped;
	return 0;
}

static int check_count(struct template_run *run, const struct template_function *function,
		       struct span source, size_t count)
{
	if (count >= function->min && count <= function->max)
		return 0;
	source.len = strlen(function->name);
	return template_run_error(run, source.at, source,
				  "wrong number of args for %s: want %s%zu got %zu", function->name,
				  function->min == function->max ? "" : "at least ", function->min,
				  count);
}

static int call_function(struct template_run *run, const struct json *dot,
			 const struct template_function *function, const struct operand *args,
			 struct span source, const struct json *piped, const struct json **ret)
{
	struct template_call call = { .run = run, .source = source, .function = function };
	size_t count = piped != NULL;
	for (const struct operand *arg = args; arg; arg = arg->next)
		count++;
	int r = check_count(run, function, source, count);
	if (r < 0)
		return r;
	if (!function->fn)
		return eval_logic(run, dot, function->name[0] == 'o', args, piped, ret);
	for (const struct operand *arg = args; arg; arg = arg->next) {
		call.operands[call.count] = arg;
		r = eval_operand(run, dot, arg, &call.args[call.count++]);
		if (r < 0)
			return r;
	}
	if (piped && call.count < TEMPLATE_MAX_ARGS)
		call.args[call.count++] = piped;
	if (function->keeps_headings && (run->flags & TEMPLATE_HEADINGS)) {
		*ret = call.args[0];
		return 0;
	}
	*ret = function->fn(&call);
	return *ret ? 0 : run->err && run->err->code ? run->err->code : -EINVAL;
}

static int not_a_method(struct template_run *run, const struct operand *operand)
{
	const char **last = operand->fields;
	while (last[1])
		last++;
	return template_run_error(run, operand->position, operand->source,
				  "%s is not a method but has arguments", *last);
}

/* The last part of "com.example.my-key", in words. */
static const struct json *label_heading(struct template_run *run, const char *label)
{
	const char *dot = strrchr(label, '.');
	char *text = arena_strdup(run->arena, dot ? dot + 1 : label);
	for (char *p = text; p && *p; p++)
		if (*p == '-' || *p == '_')
			*p = ' ';
	return template_make(run->arena, JSON_STRING, text, run->err);
}

/* {{.Label "key"}}: docker's one field that is a function. */
static int eval_method(struct template_run *run, const struct json *dot,
		       const struct command *command, const struct json *value,
		       const struct json **ret)
{
	static const struct json empty = { .type = JSON_STRING, .text = "" };
	const struct operand *arg = command->args->next;
	const struct json *key;
	if (!value->key || !streq(value->key, "Label") || !arg || arg->next)
		return not_a_method(run, command->args);
	int r = eval_operand(run, dot, arg, &key);
	if (r < 0)
		return r;
	if (key->type == JSON_STRING && (run->flags & TEMPLATE_HEADINGS)) {
		*ret = label_heading(run, key->text);
		return *ret ? 0 : -ENOMEM;
	}
	const struct json *member = key->type == JSON_STRING ? json_get(value, key->text) : NULL;
	*ret = member ? member : &empty;
	return 0;
}

static int eval_command(struct template_run *run, const struct json *dot,
			const struct command *command, const struct json *piped,
			const struct json **ret)
{
	const struct operand *first = command->args;
	if (first->kind == OPERAND_FUNCTION && !first->fields)
		return call_function(run, dot, first->function, first->next, command->source, piped,
				     ret);
	if (first->kind == OPERAND_NIL && !first->fields)
		return template_run_error(run, first->position, first->source,
					  "nil is not a command");
	int r = eval_operand(run, dot, first, ret);
	if (r < 0 || (!first->next && !piped))
		return r;
	if (first->fields && first->next)
		return eval_method(run, dot, command, *ret, ret);
	if (first->fields)
		return not_a_method(run, first);
	return template_run_error(run, first->position, first->source,
				  "can't give argument to non-function %.*s",
				  (int)first->source.len, first->source.at);
}

static int push_variable(struct template_run *run, struct span name, const struct json *value)
{
	if (run->variable_count == TEMPLATE_MAX_VARIABLES)
		return template_run_error(run, name.at, name, "too many variables");
	run->variables[run->variable_count++] = (struct template_variable) { name, value };
	return 0;
}

static int set_variable(struct template_run *run, struct span name, const struct json *value)
{
	for (size_t i = run->variable_count; i-- > run->variable_first;) {
		struct template_variable *variable = &run->variables[i];
		if (variable->name.len == name.len &&
		    memcmp(variable->name.at, name.at, name.len) == 0) {
			variable->value = value;
			return 0;
		}
	}
	return template_run_error(run, name.at, name, "undefined variable: %.*s", (int)name.len,
				  name.at);
}

static int eval_commands(struct template_run *run, const struct json *dot,
			 const struct pipeline *pipeline, const struct json **ret)
{
	const struct json *value = NULL;
	for (const struct command *command = pipeline->commands; command; command = command->next) {
		int r = eval_command(run, dot, command, value, &value);
		if (r < 0)
			return r;
	}
	*ret = value;
	return 0;
}

/* With its declarations, except for range's, which get each item's values. */
static int eval_pipeline(struct template_run *run, const struct json *dot,
			 const struct pipeline *pipeline, const struct json **ret)
{
	if (++run->depth > 4 * TEMPLATE_MAX_DEPTH)
		return template_run_error(run, pipeline->source.at, pipeline->source,
					  "nested too deeply");
	int r = eval_commands(run, dot, pipeline, ret);
	run->depth--;
	for (size_t i = 0; r == 0 && i < pipeline->variable_count; i++)
		r = pipeline->assigns ? set_variable(run, pipeline->variables[i], *ret)
				      : push_variable(run, pipeline->variables[i], *ret);
	return r;
}

/* ---- blocks ---- */

static int run_nodes(struct template_run *run, const struct json *dot, const struct node *nodes,
		     enum flow *ret);

static int run_condition(struct template_run *run, const struct json *dot, const struct node *node,
			 enum flow *ret)
{
	const struct json *value;
	size_t kept = run->variable_count;
	int r = eval_pipeline(run, dot, node->pipeline, &value);
	if (r == 0 && template_truth(value))
		r = run_nodes(run, node->kind == NODE_WITH ? value : dot, node->body, ret);
	else if (r == 0)
		r = run_nodes(run, dot, node->otherwise, ret);
	run->variable_count = kept;
	return r;
}

static const struct json *make_number(struct template_run *run, size_t number)
{
	return template_make(run->arena, JSON_NUMBER, arena_printf(run->arena, "%zu", number),
			     run->err);
}

/* One variable gets the item, two get key and item. */
static int bind_range(struct template_run *run, const struct pipeline *pipeline,
		      const struct json *item, size_t index)
{
	for (size_t i = 0; i < pipeline->variable_count; i++) {
		const struct json *value = item;
		if (i == 0 && pipeline->variable_count == 2)
			value = item->key ? template_make(run->arena, JSON_STRING, item->key,
							  run->err)
					  : make_number(run, index);
		if (!value)
			return -ENOMEM;
		int r = pipeline->assigns ? set_variable(run, pipeline->variables[i], value)
					  : push_variable(run, pipeline->variables[i], value);
		if (r < 0)
			return r;
	}
	return 0;
}

/* @items NULL: the numbers from 0. */
static int run_items(struct template_run *run, const struct node *node, const struct json **items,
		     size_t count)
{
	for (size_t i = 0; i < count; i++) {
		enum flow flow = FLOW_ON;
		size_t kept = run->variable_count;
		if (++run->steps > TEMPLATE_MAX_STEPS)
			return template_run_error(run, node->pipeline->source.at,
						  node->pipeline->source, "too many items");
		const struct json *item = items ? items[i] : make_number(run, i);
		int r = item ? bind_range(run, node->pipeline, item, i) : -ENOMEM;
		if (r == 0)
			r = run_nodes(run, item, node->body, &flow);
		run->variable_count = kept;
		if (r < 0 || flow == FLOW_BREAK)
			return r;
	}
	return 0;
}

/* Over a number N: from 0 to N - 1. */
static int range_number(struct template_run *run, const struct pipeline *pipeline, int64_t number,
			size_t *ret)
{
	if (pipeline->variable_count > 1)
		return template_run_error(
			run, pipeline->commands->source.at, pipeline->commands->source,
			"can't use %lld to iterate over more than one variable", (long long)number);
	*ret = number > 0 ? (size_t)number : 0;
	return 0;
}

static int run_range(struct template_run *run, const struct json *dot, const struct node *node,
		     enum flow *ret)
{
	const struct pipeline *pipeline = node->pipeline;
	const struct json *list, **items = NULL;
	size_t count = 0;
	int64_t number;
	int r = eval_commands(run, dot, pipeline, &list);
	bool numbers = r == 0 && list->type == JSON_NUMBER && json_i64(list, &number);
	if (numbers)
		r = range_number(run, pipeline, number, &count);
	if (r < 0)
		return r;
	if (list->type == JSON_ARRAY || list->type == JSON_OBJECT) {
		items = template_sorted(run->arena, list);
		count = list->count;
	} else if (list->type != JSON_NULL && !numbers) {
		_cleanup_buf_ struct buf text;
		buf_init(&text, 0);
		template_print(run->arena, list, &text);
		return template_run_error(run, pipeline->commands->source.at,
					  pipeline->commands->source,
					  "range can't iterate over %.200s", buf_str(&text));
	}
	if (count == 0)
		return run_nodes(run, dot, node->otherwise, ret);
	return items || numbers ? run_items(run, node, items, count) : no_memory(run);
}

static int run_output(struct template_run *run, const struct json *dot, const struct node *node)
{
	const struct json *value;
	int r = eval_pipeline(run, dot, node->pipeline, &value);
	if (r < 0 || node->pipeline->variable_count)
		return r;
	r = template_print(run->arena, value, run->out);
	return r < 0 ? error_errno(run->err, r, "template") : 0;
}

/* Its variables are its own, and "$" is what it was given. */
static int run_definition(struct template_run *run, const struct json *dot, const char *name,
			  const struct node *nodes)
{
	enum flow flow = FLOW_ON;
	const char *caller = run->name;
	size_t first = run->variable_first, count = run->variable_count;
	run->name = name;
	run->variable_first = count;
	int r = push_variable(run, (struct span) { "$", 1 }, dot);
	if (r == 0)
		r = run_nodes(run, dot, nodes, &flow);
	run->name = caller;
	run->variable_first = first;
	run->variable_count = count;
	return r;
}

static int run_template(struct template_run *run, const struct json *dot, const struct node *node)
{
	const struct pipeline *pipeline = node->pipeline;
	const struct definition *found = run->t->definitions;
	const struct json *value = &template_no_value;
	size_t kept = run->variable_count;
	while (found && !streq(found->name, node->name))
		found = found->next;
	bool whole = !found && !*node->name;
	if ((!found && !whole) || run->depth >= TEMPLATE_MAX_DEPTH ||
	    ++run->steps > TEMPLATE_MAX_STEPS) {
		const char *source =
			arena_printf(run->arena, "{{template \"%s\"%s%.*s}}", node->name,
				     pipeline ? " " : "", pipeline ? (int)pipeline->source.len : 0,
				     pipeline ? pipeline->source.at : "");
		struct span at = { source ? source : "", source ? strlen(source) : 0 };
		return found || whole
			       ? template_run_error(run, node->text.at, at,
						    "exceeded maximum template depth (%d)",
						    TEMPLATE_MAX_DEPTH)
			       : template_run_error(run, node->text.at, at,
						    "template \"%s\" not defined", node->name);
	}
	int r = pipeline ? eval_pipeline(run, dot, pipeline, &value) : 0;
	run->depth++;
	if (r == 0)
		r = run_definition(run, value, node->name, found ? found->nodes : run->t->nodes);
	run->depth--;
	run->variable_count = kept;
	return r;
}

static int run_nodes(struct template_run *run, const struct json *dot, const struct node *nodes,
		     enum flow *ret)
{
	int r = 0;
	size_t kept = run->variable_count;
	for (const struct node *node = nodes; node && r == 0 && *ret == FLOW_ON;
	     node = node->next) {
		switch (node->kind) {
		case NODE_TEXT:
			buf_append(run->out, node->text.at, node->text.len);
			break;
		case NODE_ACTION:
			r = run_output(run, dot, node);
			break;
		case NODE_IF:
		case NODE_WITH:
			r = run_condition(run, dot, node, ret);
			break;
		case NODE_RANGE:
			r = run_range(run, dot, node, ret);
			break;
		case NODE_TEMPLATE:
			r = run_template(run, dot, node);
			break;
		case NODE_BREAK:
			*ret = FLOW_BREAK;
			break;
		case NODE_CONTINUE:
			*ret = FLOW_CONTINUE;
			break;
		}
	}
	run->variable_count = kept;
	return r;
}

int template_run(const struct template *t, struct arena *arena, const struct json *data,
		 unsigned flags, struct buf *out, struct masu_error *err)
{
	struct template_run run = {
		.t = t, .arena = arena, .out = out, .flags = flags, .name = "", .err = err
	};
	enum flow flow = FLOW_ON;
	run.variables[run.variable_count++] = (struct template_variable) { { "$", 1 }, data };
	int r = run_nodes(&run, data, t->nodes, &flow);
	if (r == 0 && buf_error(out) < 0)
		return error_errno(err, buf_error(out), "template");
	return r;
}

int template_render(struct arena *arena, const char *text, const struct json *data, struct buf *out,
		    struct masu_error *err)
{
	struct template *t;
	int r = template_parse(arena, text, &t, err);
	return r < 0 ? r : template_run(t, arena, data, 0, out, err);
}
