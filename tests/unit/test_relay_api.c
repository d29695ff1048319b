/* The router, and that openapi.json tells the truth about it. */
#include "relay/api/internal.h"
#include "relay/embed.h"
#include "tests/unit/suite.h"

#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static enum route_found match(struct request *rq, const char *method, const char *path, char *allow)
{
	*rq = (struct request){0};
	snprintf(rq->path, sizeof(rq->path), "%s", path);
	return api_match(rq, method, allow, 64);
}

START_TEST(test_routes)
{
	static struct request rq;
	char allow[64];

	ck_assert_int_eq(match(&rq, "GET", "/v1/vehicles/v1/signals/a.b.c/history", allow),
			 ROUTE_FOUND);
	ck_assert_str_eq(rq.params[0], "v1");
	ck_assert_str_eq(rq.params[1], "a.b.c");
	ck_assert_ptr_eq(rq.route->handler, handle_history);
	ck_assert_int_eq(match(&rq, "HEAD", "/healthz", allow), ROUTE_FOUND);
	ck_assert_int_eq(match(&rq, "PUT", "/v1/vehicles/v1", allow), ROUTE_NO_METHOD);
	ck_assert_str_eq(allow, "GET, HEAD, DELETE");
	ck_assert_int_eq(match(&rq, "GET", "/v1/vehicles/", allow), ROUTE_NO_PATH);
	ck_assert_int_eq(match(&rq, "GET", "/v1/vehicles//state", allow), ROUTE_NO_PATH);
	ck_assert_int_eq(match(&rq, "GET", "/v1", allow), ROUTE_NO_PATH);
	ck_assert_int_eq(match(&rq, "GET", "", allow), ROUTE_NO_PATH);
	ck_assert_int_eq(match(&rq, "GET", "/healthz/", allow), ROUTE_NO_PATH);
}
END_TEST

static const json_t *operation(const json_t *doc, const char *path, const char *method)
{
	char lower[16] = "";

	for (size_t i = 0; method[i] && i + 1 < sizeof(lower); i++)
		lower[i] = (char)tolower(method[i]);
	return json_object_get(json_object_get(json_object_get(doc, "paths"), path), lower);
}

static void check_operation(const struct route *r, const json_t *op)
{
	const json_t *body = json_object_get(op, "requestBody");

	ck_assert_msg(op != NULL, "%s %s is not in openapi.json", r->method, r->pattern);
	ck_assert_msg(!r->accepts == !body, "%s %s: body", r->method, r->pattern);
	if (body)
		ck_assert_ptr_nonnull(
			json_object_get(json_object_get(body, "content"), r->accepts));
}

START_TEST(test_openapi_is_true)
{
	json_t *doc = json_loads(relay_api_openapi, JSON_REJECT_DUPLICATES, NULL), *ops, *op;
	const char *path, *method;
	size_t documented = 0;

	ck_assert_ptr_nonnull(doc);
	for (size_t i = 0; i < api_n_routes; i++)
		check_operation(&api_routes[i],
				operation(doc, api_routes[i].pattern, api_routes[i].method));
	json_object_foreach(json_object_get(doc, "paths"), path, ops)
	{
		json_object_foreach(ops, method, op) documented++;
	}
	ck_assert_uint_eq(documented, api_n_routes);
	json_decref(doc);
}
END_TEST

/* Every $ref leads somewhere. */
static void check_refs(json_t *doc, json_t *node)
{
	const char *key;
	json_t *v;
	size_t i;

	json_object_foreach(node, key, v)
	{
		if (strcmp(key, "$ref") == 0) {
			char text[128], *save = NULL;
			const json_t *at = doc;

			snprintf(text, sizeof(text), "%s", json_string_value(v) + 2);
			for (char *p = strtok_r(text, "/", &save); p;
			     p = strtok_r(NULL, "/", &save))
				at = json_object_get(at, p);
			ck_assert_msg(at != NULL, "%s", json_string_value(v));
		}
		check_refs(doc, v);
	}
	json_array_foreach(node, i, v) check_refs(doc, v);
}

START_TEST(test_openapi_refs)
{
	json_t *doc = json_loads(relay_api_openapi, 0, NULL);

	check_refs(doc, doc);
	json_decref(doc);
}
END_TEST

START_TEST(test_times)
{
	static const char *const bad[] = {"",
					  "x",
					  "-1",
					  "2026-03-01",
					  "2026-03-01T12:00:00",
					  "2026-03-01T12:00:00+2:00",
					  "1960-01-01T00:00:00Z",
					  "99999999999999999999",
					  "2026-03-01T12:00:00Zx",
					  "2026-3-01T12:00:00Z",
					  "2026-02-29T12:00:00Z",
					  "2026-03-01T12:00:00.Z",
					  " 2026-03-01T12:00:00Z",
					  " 5",
					  "+5",
					  "-"};
	int64_t ns;

	ck_assert_int_eq(parse_time("1500", &ns), 0);
	ck_assert_int_eq(ns, 1500 * NS_PER_MS);
	ck_assert_int_eq(parse_time("1970-01-01T00:00:01.25Z", &ns), 0);
	ck_assert_int_eq(ns, 1250 * NS_PER_MS);
	ck_assert_int_eq(parse_time("1970-01-01T02:00:00+02:00", &ns), 0);
	ck_assert_int_eq(ns, 0);
	for (size_t i = 0; i < array_len(bad); i++)
		ck_assert_msg(parse_time(bad[i], &ns) == -EINVAL, "%s", bad[i]);
}
END_TEST

static void check_time(int64_t ns, const char *text)
{
	json_t *t = json_time(ns);
	int64_t back;

	ck_assert_str_eq(json_string_value(t), text);
	ck_assert_int_eq(parse_time(text, &back), 0);
	ck_assert_int_eq(back, ns);
	json_decref(t);
}

START_TEST(test_times_lose_nothing)
{
	check_time(0, "1970-01-01T00:00:00.000Z");
	check_time(1700000000 * NS_PER_S + 25 * NS_PER_MS, "2023-11-14T22:13:20.025Z");
	check_time(1700000000 * NS_PER_S + 25 * NS_PER_MS + 7000, "2023-11-14T22:13:20.025007Z");
	check_time(1700000000 * NS_PER_S + 1, "2023-11-14T22:13:20.000000001Z");
	check_time(INT64_MAX, "2262-04-11T23:47:16.854775807Z");
}
END_TEST

START_TEST(test_integers_stay_exact)
{
	json_t *small = json_unsigned((uint64_t)1 << 53), *big = json_unsigned(UINT64_MAX);

	ck_assert(json_is_integer(small));
	ck_assert_str_eq(json_string_value(big), "18446744073709551615");
	json_decref(small);
	json_decref(big);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("api");

	tcase_add_test(t, test_routes);
	tcase_add_test(t, test_openapi_is_true);
	tcase_add_test(t, test_openapi_refs);
	tcase_add_test(t, test_times);
	tcase_add_test(t, test_times_lose_nothing);
	tcase_add_test(t, test_integers_stay_exact);
	return suite_run("relay_api", &t, 1);
}
