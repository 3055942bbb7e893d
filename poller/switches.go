package poller

import "slices"

// inventoryModules are the modules of a discovery that read what is no
// component, in their order.
func inventoryModules() []Module {
	return []Module{addressesModule{}, entitiesModule{}, neighboursModule{}, vlansModule{}}
}

// runs says whether a module runs: nobody has switched it off, neither for all
// devices, nor for this one, nor for its OS. Which modules a poll goes without the caller knows. Of the OS the inventory knows when this
// discovery could not find out: a device that a module harms is not harmed by a lost packet.
func (c *Context) runs(name string) bool {
	f := c.finder
	if f == nil {
		return name == coreModule{}.Name() || !slices.Contains(c.Target.ModulesOff, name)
	}
	if slices.Contains(c.Target.ModulesOff, name) || slices.Contains(c.Target.Device.DiscoveryOff, name) {
		return false
	}
	facts := &c.Target.Device.Facts
	if c.Report.Poll.Facts != nil {
		facts = c.Report.Poll.Facts
	}
	os := f.set.Find(facts.OS)
	return os == nil || os.Runs(name)
}
