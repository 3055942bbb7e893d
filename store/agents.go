package store

import (
	"context"
	"net"
	"strconv"
)

// maxSharedAgents bounds what SharedAgents returns.
const maxSharedAgents = 10_000

// hostAsked is Device.Host in lower case, in SQL.
const hostAsked = "LOWER(CASE WHEN address <> '' THEN address ELSE hostname END)"

// SharedAgents lists the SNMP agents that more than one device asks, as
// "host:port" in lower case (net.JoinHostPort of Device.Host and Port);
// devices that are disabled or asked by ICMP only do not count. It returns at most 10,000.
func (s *Store) SharedAgents(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := s.reads.NewSelect().Table("devices").ColumnExpr(hostAsked+" AS host").Column("port").
		Where("disabled = ?", false).Where("snmp_disable = ?", false).GroupExpr(hostAsked).Group("port").Having("COUNT(*) > 1").Limit(maxSharedAgents).Rows(ctx)
	if err != nil {
		return nil, s.fail("list the agents that devices share", err)
	}
	defer rows.Close()
	var agents []string
	for rows.Next() {
		var name string
		var port uint16
		if err := rows.Scan(&name, &port); err != nil {
			return nil, s.fail("list the agents that devices share", err)
		}
		agents = append(agents, net.JoinHostPort(name, strconv.Itoa(int(port))))
	}
	if err := rows.Err(); err != nil {
		return nil, s.fail("list the agents that devices share", err)
	}
	return agents, nil
}
