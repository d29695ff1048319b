/* tools/drive/route.c: see route.h. */
#include "tools/drive/route.h"
#include "tools/drive/rng.h"

#include <math.h>

#define ROUTE_STEP_M 5.0
#define ROUTE_ALT_M  520.0

struct route_node {
	float east, north, alt, heading, curvature,
		slope; /* heading: rad, counterclockwise from east */
};

struct waypoint {
	double x, y, radius, alt; /* m; alt relative to ROUTE_ALT_M */
};

/* Corners of the round; heading east from the first. */
static const struct waypoint waypoints[] = {
	{0, 0, 0, 0},	      {333, 0, 15, 1},	     {333, 296, 15, 3},	     {705, 296, 15, 4},
	{705, -315, 15, 1},   {1467, -315, 18, -2},  {1467, -36, 15, -1},    {1754, -36, 15, 0},
	{1754, -214, 15, 0},  {2541, -214, 15, 6},   {2541, 107, 15, 8},     {3082, 107, 15, 12},
	{3082, 826, 25, 20},  {4478, 2819, 15, 62},  {4414, 3181, 20, 66},   {3474, 3724, 25, 78},
	{800, 2750, 700, 48}, {-2050, 3230, 20, 18}, {-4241, 2300, 900, 34}, {-3891, -150, 900, 10},
};

enum { WAYPOINTS = array_len(waypoints) };

/* A waypoint's rounded corner. */
struct corner {
	double leg;	/* to the next waypoint */
	double heading; /* of that leg, rad */
	double turn;	/* rad, > 0 left */
	double tangent, arc;
};

static void corners_of(struct corner *c)
{
	for (size_t i = 0; i < WAYPOINTS; i++) {
		const struct waypoint *a = &waypoints[i], *b = &waypoints[(i + 1) % WAYPOINTS];
		c[i].leg = hypot(b->x - a->x, b->y - a->y);
		c[i].heading = atan2(b->y - a->y, b->x - a->x);
	}
	for (size_t i = 0; i < WAYPOINTS; i++) {
		double before = c[(i + WAYPOINTS - 1) % WAYPOINTS].heading;
		c[i].turn = remainder(c[i].heading - before, 2 * M_PI);
		c[i].tangent = waypoints[i].radius * tan(fabs(c[i].turn) / 2);
		c[i].arc = waypoints[i].radius * fabs(c[i].turn);
	}
}

/* Straight part between waypoint i and the next. */
static double straight_of(const struct corner *c, size_t i)
{
	return c[i].leg - c[i].tangent - c[(i + 1) % WAYPOINTS].tangent;
}

/* Altitude goes from the middle of one corner to the middle of the next, level at both. */
static double altitude(const struct corner *c, size_t i, double s)
{
	size_t next = (i + 1) % WAYPOINTS;
	double from = c[i].arc / 2, to = c[next].arc / 2, straight = straight_of(c, i);
	if (s > straight + to) {
		s -= straight + to;
		i = next;
		next = (i + 1) % WAYPOINTS;
		to = c[next].arc / 2;
		straight = straight_of(c, i) + c[i].arc / 2;
		from = 0;
	}
	double f = (s + from) / (from + straight + to);
	return waypoints[i].alt + (waypoints[next].alt - waypoints[i].alt) * f * f * (3 - 2 * f);
}

/* Where a distance from the start lies: on straight i, or on the arc of corner i at its end. */
static void node_at(const struct corner *c, double s, struct route_node *ret)
{
	size_t i = 0;
	double len = 0;
	for (; i + 1 < WAYPOINTS; i++) {
		len = straight_of(c, i) + c[i + 1].arc;
		if (s < len)
			break;
		s -= len;
	}
	size_t next = (i + 1) % WAYPOINTS;
	double h = c[i].heading, straight = straight_of(c, i);
	double run = c[i].tangent + fmin(s, straight);
	double x = waypoints[i].x + run * cos(h), y = waypoints[i].y + run * sin(h);
	if (s > straight && c[next].arc > 0) {
		double k = copysign(1 / waypoints[next].radius, c[next].turn);
		double h2 = h + k * (s - straight);
		x += (sin(h2) - sin(h)) / k;
		y -= (cos(h2) - cos(h)) / k;
		h = h2;
	}
	double alt = altitude(c, i, s);
	*ret = (struct route_node){
		.east = (float)x,
		.north = (float)y,
		.alt = (float)alt,
		.heading = (float)h,
	};
}

/* Drivers turn into a bend over some metres: curvature is the change of heading over 20 m. */
static void slopes_and_bends(struct route *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct route_node *ahead = &r->nodes[(i + 2) % r->n];
		const struct route_node *behind = &r->nodes[(i + r->n - 2) % r->n];
		double turn = remainder((double)ahead->heading - (double)behind->heading, 2 * M_PI);
		r->nodes[i].curvature = (float)(turn / (4 * ROUTE_STEP_M));
		double rise = (double)r->nodes[(i + 4) % r->n].alt -
			      (double)r->nodes[(i + r->n - 4) % r->n].alt;
		r->nodes[i].slope = (float)(rise / (8 * ROUTE_STEP_M));
	}
}

int route_init(struct route *r, uint64_t seed)
{
	struct corner c[WAYPOINTS];
	corners_of(c);
	double length = 0;
	for (size_t i = 0; i < WAYPOINTS; i++)
		length += straight_of(c, i) + c[i].arc;
	struct rng rng = {seed ^ UINT64_C(0x726f757465)};
	*r = (struct route){
		.n = (size_t)(length / ROUTE_STEP_M),
		.length_m = length,
		.origin_lat_deg = 48 + rng_range(&rng, -0.15, 0.15),
		.origin_lon_deg = 11 + rng_range(&rng, -0.2, 0.2),
		.turned_deg = rng_range(&rng, 0, 360),
		.stretch = 1,
	};
	r->nodes = calloc(r->n, sizeof(*r->nodes));
	if (!r->nodes)
		return -ENOMEM;
	for (size_t i = 0; i < r->n; i++)
		node_at(c, (double)i * length / (double)r->n, &r->nodes[i]);
	slopes_and_bends(r);
	return 0;
}

void route_free(struct route *r)
{
	free(r->nodes);
	r->nodes = NULL;
}

void route_aim(struct route *r, double drive_m)
{
	double left = r->length_m - r->pos_m;
	if (left < r->length_m / 2)
		left += r->length_m; /* just short of the start: the last round ended early */
	r->stretch = left / drive_m;
}

void route_advance(struct route *r, double m)
{
	r->pos_m = fmod(r->pos_m + m * r->stretch, r->length_m);
}

static double mix(double a, double b, double f)
{
	return a + (b - a) * f;
}

void route_at(const struct route *r, double ahead_m, struct route_point *ret)
{
	double s = fmod(r->pos_m + ahead_m, r->length_m) / r->length_m * (double)r->n;
	size_t i = (size_t)s % r->n;
	const struct route_node *a = &r->nodes[i], *b = &r->nodes[(i + 1) % r->n];
	double f = s - floor(s);
	double x = mix(a->east, b->east, f), y = mix(a->north, b->north, f);
	double t = r->turned_deg * M_PI / 180;
	double h = a->heading + f * remainder((double)b->heading - (double)a->heading, 2 * M_PI);
	double compass = fmod(90 - (h + t) * 180 / M_PI, 360);
	*ret = (struct route_point){
		.east_m = x * cos(t) - y * sin(t),
		.north_m = x * sin(t) + y * cos(t),
		.alt_m = ROUTE_ALT_M + mix(a->alt, b->alt, f),
		.heading_deg = compass < 0 ? compass + 360 : compass,
		.curvature_1pm = mix(a->curvature, b->curvature, f),
		.slope = mix(a->slope, b->slope, f),
	};
}
