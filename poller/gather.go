package poller

import (
	"context"
	"errors"
	"slices"
	"time"

	"pollux/snmp"
)

// How many component objects the first GET takes along: what a reply of one
// Ethernet frame is likely to hold, and no more than agents commonly take.
const (
	fullReply   = 1400
	fullRequest = 60
	// likelyValue is what a value of a component takes, about.
	likelyValue = 5
)

// answers are the objects of components that a poll has asked for. The modules of
// components share them, so that few requests bring all of them.
type answers struct {
	got   map[string]snmp.Variable
	asked map[string]bool
	done  bool  // all were asked for together
	apart bool  // not so: the agent was silent, and each module asks for its own
	err   error // the first error of a request that lost some

	by       string          // the module that asked for all together
	took     time.Duration   // by that
	together map[string]bool // what was asked for then
}

// wanted are the objects of the components that the modules measure that run, each once, in the order of the modules.
func (c *Context) wanted() []snmp.OID {
	var oids []snmp.OID
	if c.finder != nil {
		return nil
	}
	seen := make(map[string]bool)
	for _, m := range componentsModules() {
		module, ok := m.(componentsModule)
		if !ok || !c.runs(m.Name()) {
			continue
		}
		for _, oid := range module.objects(c) {
			if !seen[oid] {
				seen[oid] = true
				oids = append(oids, snmp.OID(oid))
			}
		}
	}
	return oids
}

// withComponents are objects, and with them as many objects of components as the
// reply is likely to hold beside so many bytes of texts.
func (c *Context) withComponents(oids []snmp.OID, texts int) []snmp.OID {
	size := texts
	for _, oid := range oids {
		size += snmp.VariableSize(oid, snmp.Value{}) + likelyValue
	}
	all := slices.Clone(oids)
	if c.Target.Memory.apart() {
		c.answers.apart = true
		return all
	}
	for _, oid := range c.wanted() {
		if size += snmp.VariableSize(oid, snmp.Value{}) + likelyValue; size > fullReply || len(all) >= fullRequest {
			break
		}
		all = append(all, oid)
	}
	return all
}

// open reads objects in one request, with those of components that fit in. An
// agent that fails at these loses none of the others.
func (c *Context) open(ctx context.Context, oids []snmp.OID) ([]snmp.Variable, error) {
	all := c.withComponents(oids, c.textSize())
	vars, err := c.Session.Get(ctx, all...)
	if err != nil && len(all) > len(oids) && ctx.Err() == nil {
		c.answers.apart = c.answers.apart || errors.Is(err, snmp.ErrTimeout)
		return c.Session.Get(ctx, oids...)
	}
	c.answers.take(vars, all[len(oids):])
	return vars, err
}

// take keeps what was answered.
func (a *answers) take(vars []snmp.Variable, asked []snmp.OID) {
	if a.got == nil {
		a.got, a.asked = make(map[string]snmp.Variable, len(vars)), make(map[string]bool, len(asked))
	}
	for _, v := range vars {
		a.got[string(v.OID)] = v
	}
	for _, oid := range asked {
		a.asked[string(oid)] = true
	}
}

// gather asks for the objects of all components that were not asked for yet,
// together. When that ends in silence each module asks for its own instead: an agent may be silent about some objects only.
func (c *Context) gather(ctx context.Context, module string, own []string) error {
	a := &c.answers
	if !a.done && !a.apart {
		a.done = true
		rest := slices.DeleteFunc(c.wanted(), func(oid snmp.OID) bool { return a.asked[string(oid)] })
		if len(rest) > 0 {
			began := time.Now()
			vars, err := getEach(ctx, c.Session, rest)
			a.take(vars, rest)
			a.err, a.apart = err, errors.Is(err, snmp.ErrTimeout)
			a.by, a.took, a.together = module, time.Since(began), make(map[string]bool, len(rest))
			for _, oid := range rest {
				a.together[string(oid)] = true
			}
		}
	}
	missing := make([]snmp.OID, 0, len(own))
	for _, oid := range own {
		if _, ok := a.got[oid]; !ok {
			missing = append(missing, snmp.OID(oid))
		}
	}
	switch {
	case len(missing) == 0:
		return nil
	case !a.apart:
		return a.err
	}
	vars, err := getEach(ctx, c.Session, missing)
	a.take(vars, missing)
	return err
}

// shareOut shares the time of the requests that bring what several modules measure
// out among them, by their objects; what the first request took is the module core's, whose objects it brought.
func (c *Context) shareOut() {
	a := &c.answers
	counts, total := make(map[string]int), 0
	for _, m := range componentsModules() {
		module, ok := m.(componentsModule)
		if !ok || a.took == 0 || !c.runs(m.Name()) {
			continue
		}
		for _, oid := range module.objects(c) {
			if a.together[oid] {
				counts[m.Name()]++
				total++
			}
		}
	}
	for i := range c.Report.Modules {
		result := &c.Report.Modules[i]
		if result.Name == (coreModule{}).Name() {
			result.Duration += c.greeted
		}
		if total > 0 {
			result.Duration += a.took * time.Duration(counts[result.Name]) / time.Duration(total)
		}
		if result.Name == a.by && total > 0 {
			result.Duration -= a.took
		}
	}
}
