package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"pollux/device"
	"pollux/snmp"
)

const (
	maxHosts  = 16  // names and addresses that one device is looked for under
	twinBatch = 200 // devices of one address that are read at once
)

// AgentTwin returns the device with the lowest id that asks what d asks: the
// same agent (one of the hosts, and the port) in the same SNMP context; by ICMP
// only the host counts. hosts are d.Host() and the addresses it stands for. Names of other devices
// are compared as they are and not resolved. A device is no twin of itself. found is false when there is none.
func (s *Store) AgentTwin(ctx context.Context, d device.Device, hosts []string) (twin device.Device, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	doing := fmt.Sprintf("look for a device with the address of %.80q", d.Hostname)
	for last := int64(0); ; {
		rows, err := s.sharing(ctx, d, hosts, last)
		if err != nil {
			return device.Device{}, false, s.fail(doing, err)
		}
		for i := range rows {
			other, _ := s.opened(&rows[i]) // a community that does not open names no context, so it is taken for none
			if d.PingOnly || other.PingOnly || other.Credentials.ContextName() == d.Credentials.ContextName() {
				return other, true, nil
			}
		}
		if len(rows) < twinBatch {
			return device.Device{}, false, nil
		}
		last = rows[len(rows)-1].ID
	}
}

// sharing are the next devices behind one, by id, that may be twins of d: of the
// context of a community SQL sees nothing.
func (s *Store) sharing(ctx context.Context, d device.Device, hosts []string, last int64) ([]deviceRow, error) {
	var rows []deviceRow
	query := s.reads.NewSelect().Model(&rows).Where(hostAsked+" IN (?)", bun.List(lowered(hosts))).Where("id <> ?", d.ID).Where("id > ?", last).
		Order("id").Limit(twinBatch)
	if !d.PingOnly {
		query = query.WhereGroup(" AND ", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("port = ? AND (snmp_version <> ? OR snmp_context = ?)", d.Port, snmp.V3, d.Credentials.ContextName()).WhereOr("snmp_disable = ?", true)
		})
	}
	err := query.Scan(ctx)
	return rows, err
}

// lowered are hosts as SQL compares them: in lower case, each once, and at least one, since no engine takes an empty list.
func lowered(hosts []string) []string {
	list := make([]string, 0, len(hosts)+1)
	for _, host := range hosts[:min(len(hosts), maxHosts)] {
		if host = strings.ToLower(host); hostText.MatchString(host) && !slices.Contains(list, host) { // an engine might not take others
			list = append(list, host)
		}
	}
	if len(list) == 0 {
		list = append(list, "")
	}
	return list
}

// SysNameTwin returns the device with the lowest id, other than one, whose
// sysName is this, in whatever case; found is false when there is none, and for an empty sysName.
func (s *Store) SysNameTwin(ctx context.Context, sysName string, except int64) (twin device.Device, found bool, err error) {
	sysName = line(sysName, maxName)
	if sysName == "" {
		return device.Device{}, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var row deviceRow
	err = s.reads.NewSelect().Model(&row).Where("LOWER(sys_name) = LOWER(?)", sysName).Where("id <> ?", except).Order("id").Limit(1).Scan(ctx)
	switch {
	case missing(err):
		return device.Device{}, false, nil
	case err != nil:
		return device.Device{}, false, s.fail(fmt.Sprintf("look for a device with the sysName %.80q", sysName), err)
	default:
		return row.device(), true, nil
	}
}
