package main_test

import (
	"slices"
	"strings"
	"testing"

	"pollux/polluxtest"
)

// TestRefusesWhatBelongsToAnotherCluster points nodes of one cluster to the
// Redis, the journal's Redis, the database and the RRDCached of another one.
// They end at once, and their one line names both clusters and both servers.
func TestRefusesWhatBelongsToAnotherCluster(t *testing.T) {
	t.Parallel()
	mine, other := deploy(t, polluxtest.PostgreSQL(t)), deploy(t, polluxtest.MariaDB(t))
	for _, d := range []*deployment{mine, other} {
		d.run("consumer", "c1") // which marks Redis and the RRD tree
	}
	watched := polluxtest.Sentinels(t, polluxtest.SentinelOptions{})
	third := strings.Repeat("ab", 9)
	watched.Nodes[0].Must("SET", "pollux:cluster", third)
	id := func(d *deployment) string {
		id, err := d.store.ClusterID(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	database := func(d *deployment) string {
		return d.variable("DB_CONNECTION") + " " + d.variable("DB_DATABASE") + " at " + d.variable("DB_HOST") + ":" + d.variable("DB_PORT")
	}
	for _, c := range []struct {
		name string
		env  []string
		says []string
	}{
		{"Redis", redisVariables("REDIS_", other.login), []string{id(mine), id(other), database(mine), other.redis.Address, "correct DB_* or REDIS_*"}},
		{
			"Redis behind Sentinels", redisVariables("REDIS_", watched.Config()),
			[]string{id(mine), third, database(mine), watched.Nodes[0].Address, "which the Sentinels name"},
		},
		{
			"the journal's Redis", redisVariables("JOURNAL_REDIS_", other.login),
			[]string{"the journal's Redis (JOURNAL_REDIS_*)", id(mine), id(other), database(mine), other.redis.Address},
		},
		{
			"database", other.only("DB_", "APP_KEY"),
			[]string{id(mine), id(other), database(other), mine.redis.Address},
		},
		{
			"RRDCached", []string{"RRDCACHED=" + other.rrd.Address},
			[]string{id(mine), id(other), database(mine), other.rrd.Address},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			env := append(slices.Clone(mine.env), append(c.env, "NODE_ID=stray")...)
			line := refused(t, command(t, shortDir(t), env, "consumer"), 2)
			for _, word := range c.says {
				if !strings.Contains(line, word) {
					t.Errorf("the error does not say %q: %s", word, line)
				}
			}
		})
	}
}

// variable is what all nodes are told under a name.
func (d *deployment) variable(name string) string {
	for _, variable := range d.env {
		if value, found := strings.CutPrefix(variable, name+"="); found {
			return value
		}
	}
	return ""
}

// only are the variables of all nodes whose names begin with one of the prefixes.
func (d *deployment) only(prefixes ...string) (some []string) {
	for _, variable := range d.env {
		if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(variable, prefix) }) {
			some = append(some, variable)
		}
	}
	return some
}
