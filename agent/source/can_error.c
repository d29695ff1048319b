#include "agent/source/can_error.h"

#include <linux/can.h>
#include <linux/can/error.h>
#include <linux/can/netlink.h>
#include <stdio.h>
#include <string.h>

/* Linux 5.18; headers of the build machine may be older than the kernel of the target. */
#ifndef CAN_ERR_CNT
#define CAN_ERR_CNT 0x00000200U
#endif

enum { AT_CONTROLLER = 1, AT_PROTOCOL = 2, AT_TX_ERRORS = 6, AT_RX_ERRORS = 7 };

/* Those that the identifier says alone. */
static const struct {
	uint32_t bit;
	unsigned class;
} by_id[] = {
	{CAN_ERR_TX_TIMEOUT, CAN_ERROR_TX_TIMEOUT},
	{CAN_ERR_LOSTARB, CAN_ERROR_ARBITRATION_LOST},
	{CAN_ERR_PROT, CAN_ERROR_PROTOCOL},
	{CAN_ERR_TRX, CAN_ERROR_TRANSCEIVER},
	{CAN_ERR_ACK, CAN_ERROR_NO_ACK},
	{CAN_ERR_BUSOFF, CAN_ERROR_BUS_OFF},
	{CAN_ERR_BUSERROR, CAN_ERROR_BUS},
	{CAN_ERR_RESTARTED, CAN_ERROR_RESTARTED},
};

static const struct {
	unsigned class;
	const char *name;
} names[] = {
	{CAN_ERROR_BUS_OFF, "bus-off"},
	{CAN_ERROR_RESTARTED, "restarted"},
	{CAN_ERROR_PASSIVE, "error-passive"},
	{CAN_ERROR_WARNING, "error-warning"},
	{CAN_ERROR_ACTIVE, "error-active"},
	{CAN_ERROR_TX_TIMEOUT, "tx-timeout"},
	{CAN_ERROR_ARBITRATION_LOST, "arbitration-lost"},
	{CAN_ERROR_OVERFLOW, "overflow"},
	{CAN_ERROR_PROTOCOL, "protocol"},
	{CAN_ERROR_TRANSCEIVER, "transceiver"},
	{CAN_ERROR_NO_ACK, "no-ack"},
	{CAN_ERROR_BUS, "bus-error"},
};

static void parse_controller(struct can_error *e, uint8_t what)
{
	if (what & (CAN_ERR_CRTL_RX_OVERFLOW | CAN_ERR_CRTL_TX_OVERFLOW))
		e->classes |= CAN_ERROR_OVERFLOW;
	if (what & (CAN_ERR_CRTL_RX_WARNING | CAN_ERR_CRTL_TX_WARNING))
		e->classes |= CAN_ERROR_WARNING;
	if (what & (CAN_ERR_CRTL_RX_PASSIVE | CAN_ERR_CRTL_TX_PASSIVE))
		e->classes |= CAN_ERROR_PASSIVE;
	if (what & CAN_ERR_CRTL_ACTIVE)
		e->classes |= CAN_ERROR_ACTIVE;
	e->tx |= (what & (CAN_ERR_CRTL_TX_OVERFLOW | CAN_ERR_CRTL_TX_WARNING |
			  CAN_ERR_CRTL_TX_PASSIVE)) != 0;
	e->rx |= (what & (CAN_ERR_CRTL_RX_OVERFLOW | CAN_ERR_CRTL_RX_WARNING |
			  CAN_ERR_CRTL_RX_PASSIVE)) != 0;
}

/* Before 5.18 drivers gave the counters without the flag, along with the controller's state. A
 * counter of 0 may then be none at all, so both 0 say nothing. */
static bool has_counters(uint32_t id, const uint8_t *data)
{
	if (id & CAN_ERR_CNT)
		return true;
	return (id & CAN_ERR_CRTL) && (data[AT_TX_ERRORS] || data[AT_RX_ERRORS]);
}

static void parse_data(struct can_error *e, uint32_t id, const uint8_t *data)
{
	if (id & CAN_ERR_CRTL)
		parse_controller(e, data[AT_CONTROLLER]);
	if ((id & CAN_ERR_PROT) && (data[AT_PROTOCOL] & CAN_ERR_PROT_TX))
		e->tx = true;
	if (!has_counters(id, data))
		return;
	e->has_counters = true;
	e->tx_errors = data[AT_TX_ERRORS];
	e->rx_errors = data[AT_RX_ERRORS];
}

int can_error_parse(struct can_error *ret, uint32_t id, const uint8_t *data, size_t len)
{
	struct can_error e = {0};

	if (!(id & CAN_ERR_FLAG))
		return -EINVAL;
	for (size_t i = 0; i < array_len(by_id); i++)
		if (id & by_id[i].bit)
			e.classes |= by_id[i].class;
	if (len >= CAN_ERR_DLC)
		parse_data(&e, id, data);
	*ret = e;
	return 0;
}

/* The worst that it tells. A restart comes out of bus-off, into error-active (ISO 11898-1). */
int can_error_state(const struct can_error *e)
{
	if (e->classes & CAN_ERROR_BUS_OFF)
		return CAN_STATE_BUS_OFF;
	if (e->classes & CAN_ERROR_PASSIVE)
		return CAN_STATE_ERROR_PASSIVE;
	if (e->classes & CAN_ERROR_WARNING)
		return CAN_STATE_ERROR_WARNING;
	if (e->classes & (CAN_ERROR_ACTIVE | CAN_ERROR_RESTARTED))
		return CAN_STATE_ERROR_ACTIVE;
	return CAN_ERROR_NO_STATE;
}

const char *can_error_text(const struct can_error *e, char out[static CAN_ERROR_TEXT])
{
	size_t n = 0;

	(void)snprintf(out, CAN_ERROR_TEXT, "unknown");
	for (size_t i = 0; i < array_len(names) && n < CAN_ERROR_TEXT; i++)
		if (e->classes & names[i].class)
			n += (size_t)snprintf(out + n, CAN_ERROR_TEXT - n, "%s%s", n ? "," : "",
					      names[i].name);
	return out;
}
