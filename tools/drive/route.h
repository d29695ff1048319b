/* tools/drive/route.h: a closed round trip of straights and arcs, about as long as the WLTC.
 *
 * It is made up, and lies around a grid intersection of the WGS 84 graticule, turned and moved by
 * the seed. Sharp corners lie where the speed trace is slow. */
#pragma once

#include "base/base.h"

struct route_point {
	double east_m, north_m; /* from the origin */
	double alt_m;
	double heading_deg;   /* 0 north, clockwise, [0, 360) */
	double curvature_1pm; /* > 0: to the left */
	double slope;	      /* rise over run */
};

struct route {
	struct route_node *nodes; /* every ROUTE_STEP_M */
	size_t n;
	double length_m;
	double origin_lat_deg, origin_lon_deg;
	double turned_deg;
	double pos_m;	/* on the round, [0, length_m) */
	double stretch; /* metres of route for a metre driven */
};

/* Returns 0 or -ENOMEM. */
int route_init(struct route *r, uint64_t seed) must_check;
void route_free(struct route *r);
/* From now on drive_m metres of driving end at the start of the route again. */
void route_aim(struct route *r, double drive_m);
void route_advance(struct route *r, double m);
/* At distance ahead_m in front of the present place. */
void route_at(const struct route *r, double ahead_m, struct route_point *ret);
