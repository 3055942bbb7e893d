package poller

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pollux/device"
	"pollux/poller/definitions"
	"pollux/snmp"
)

// Discover reads what a device is and has: its facts and components. It ends when
// ctx does; what was read by then is in the result. The caller adds Slot and Node
// and corrects the clock of At.
func Discover(ctx context.Context, s Session, t Target, set *definitions.Set) (device.Discovery, []device.ModuleResult) {
	f := newFinder(s, set)
	report, _ := poll(ctx, s, t, f, slices.Concat([]Module{coreModule{}, osModule{}, columnsModule{}}, discoveryModules(), inventoryModules()))
	found := f.found
	found.DeviceID, found.At, found.Duration = t.Device.ID, report.Poll.At, report.Poll.Duration
	found.Host, found.Port = t.Device.Host(), t.Device.Port
	found.Outcome, found.Reason, found.Facts = report.Poll.Outcome, report.Poll.Reason, report.Poll.Facts
	return found, report.Modules
}

// maxComponents bounds what one module finds on a device; what comes after it is left out.
const maxComponents = 5000

// finder is what the modules of a discovery share: the definition of the device
// and what was read of its tables.
type finder struct {
	set    *definitions.Set
	os     *definitions.OS
	tables *tableReader
	found  device.Discovery
	// sources are the objects that sensors read, by class.
	sources map[string]struct{}
	counts  map[device.ComponentKind]int
}

func newFinder(s Session, set *definitions.Set) *finder {
	return &finder{
		set: set, tables: newTableReader(s), sources: make(map[string]struct{}), counts: make(map[device.ComponentKind]int, 4),
		found: device.Discovery{
			Complete: make(map[device.ComponentKind]bool, 4), Inventory: device.Inventory{Whole: make(map[string]bool, 4)},
		},
	}
}

// osModule says what a device runs, and reads its hardware, version and serial.
type osModule struct{}

func (osModule) Name() string { return "os" }

func (osModule) Run(ctx context.Context, c *Context) error {
	f := c.finder
	var failed error
	ask := func(oids []snmp.OID) map[snmp.OID]string {
		answers, err := f.tables.scalars(ctx, oids)
		failed = err
		texts := make(map[snmp.OID]string, len(answers))
		for oid, v := range answers {
			texts[oid] = v.Text()
		}
		return texts
	}
	facts := c.facts()
	found := f.set.Detect(snmp.OID(facts.SysObjectID), facts.SysDescr, ask)
	if failed != nil {
		return fmt.Errorf("ask what it runs: %w", failed)
	}
	if found == nil {
		found = f.set.Generic()
	}
	f.os = found
	facts.OS = found.OS
	read := factReader{facts: *facts, tables: f.tables}
	if err := read.prepare(ctx, &found.Facts); err != nil {
		return fmt.Errorf("read hardware, version and serial: %w", err)
	}
	facts.Hardware, facts.Version = read.first(found.Facts.Hardware), read.first(found.Facts.Version)
	facts.Serial, facts.Features = read.first(found.Facts.Serial), read.first(found.Facts.Features)
	return nil
}

// facts are those that the core module read, or the inventory's.
func (c *Context) facts() *device.Facts {
	if c.Report.Poll.Facts == nil {
		kept := c.Target.Device.Facts
		c.Report.Poll.Facts = &kept
	}
	return c.Report.Poll.Facts
}

// tableModule reads one kind of component by the tables of the OS.
type tableModule[E any] struct {
	name    string
	kind    device.ComponentKind
	entries func(*definitions.Tables) []E
	entry   func(E) *definitions.Entry
	find    func(*finder, E, []definitions.Row) int // adds what the rows are, and says how many
}

func (m tableModule[E]) Name() string { return m.name }

// Run reads the tables that are no fallback all at once. While there are no rows
// it then reads the fallbacks of one file after the other.
func (m tableModule[E]) Run(ctx context.Context, c *Context) error {
	f := c.finder
	if f.os == nil { // it could not be asked: what the inventory knows still holds
		if f.os = f.set.Find(c.facts().OS); f.os == nil {
			return errors.New("what it runs is not known")
		}
	}
	var first []E
	var fallbacks [][]E // by file
	file := ""
	for _, e := range m.entries(f.os.All()) {
		switch entry := m.entry(e); {
		case !entry.Fallback:
			first = append(first, e)
		case len(fallbacks) > 0 && entry.File() == file:
			fallbacks[len(fallbacks)-1] = append(fallbacks[len(fallbacks)-1], e)
		default:
			file = entry.File()
			fallbacks = append(fallbacks, []E{e})
		}
	}
	count, failed := m.read(ctx, f, first)
	for _, tables := range fallbacks {
		if count > 0 || failed != nil {
			break
		}
		count, failed = m.read(ctx, f, tables)
	}
	f.found.Complete[m.kind] = failed == nil
	return failed
}

// read reads some tables. An error says that one of them may lack rows; the others are there.
func (m tableModule[E]) read(ctx context.Context, f *finder, tables []E) (count int, failed error) {
	entries := make([]*definitions.Entry, len(tables))
	for i, e := range tables {
		entries[i] = m.entry(e)
	}
	failed = f.tables.load(ctx, entries)
	for i, e := range tables {
		if !f.tables.unjudged(entries[i]) {
			count += m.find(f, e, f.tables.rows(entries[i]))
		}
	}
	if f.counts[m.kind] >= maxComponents {
		return count, fmt.Errorf("%w: %d %s or more", snmp.ErrTooLarge, maxComponents, m.name)
	}
	return count, failed
}

// discoveryModules are the modules that read by definitions, in their order.
func discoveryModules() []Module {
	return []Module{
		tableModule[*definitions.Processor]{
			"processors", device.KindProcessor, func(t *definitions.Tables) []*definitions.Processor { return t.Processors },
			func(e *definitions.Processor) *definitions.Entry { return &e.Entry }, (*finder).processors,
		},
		tableModule[*definitions.Mempool]{
			"mempools", device.KindMempool, func(t *definitions.Tables) []*definitions.Mempool { return t.Mempools },
			func(e *definitions.Mempool) *definitions.Entry { return &e.Entry }, (*finder).mempools,
		},
		tableModule[*definitions.Storage]{
			"storage", device.KindStorage, func(t *definitions.Tables) []*definitions.Storage { return t.Storage },
			func(e *definitions.Storage) *definitions.Entry { return &e.Entry }, (*finder).storage,
		},
		tableModule[*definitions.Sensor]{
			"sensors", device.KindSensor, func(t *definitions.Tables) []*definitions.Sensor { return t.Sensors },
			func(e *definitions.Sensor) *definitions.Entry { return &e.Entry }, (*finder).sensors,
		},
		hostModule{},
	}
}
