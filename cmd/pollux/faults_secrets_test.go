//go:build faults

package main_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/s2"

	"pollux/cluster"
)

// secrets is I8: what the nodes said and show, what Redis holds and, in the
// folders of its servers, ever held, and the queues' pages at the leader.
func (d *deployment) secrets(client cluster.Client, nodes []*process, leader *process, folders ...string) (found []string) {
	d.t.Helper()
	c, said := newFinder(d.canaries()), sweep{}
	for _, p := range nodes {
		text, err := os.ReadFile(p.log)
		if err != nil {
			d.t.Fatal(err)
		}
		said["the log of "+p.name] = text
		if p.alive() {
			said["the metrics of "+p.name] = d.get(p, "/metrics")
		}
	}
	for _, page := range d.allQueuePages(client) {
		said["asynqmon's "+page] = d.get(leader, "/asynqmon/api/"+page)
	}
	dump := d.dumpRedis(client)
	if len(dump) < 1000 {
		d.t.Errorf("the dump of Redis has %d bytes", len(dump))
	}
	said["Redis"] = dump
	var files []string
	for _, folder := range folders {
		kept, err := filepath.Glob(filepath.Join(folder, "appendonlydir", "*"))
		if err != nil || len(kept) == 0 {
			d.t.Errorf("Redis has %d append-only files in %s, %v", len(kept), folder, err)
		}
		files = append(files, kept...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			d.t.Error(err)
		}
		said[file] = text
	}
	for _, leak := range c.leaks(said) {
		found = append(found, "I8: "+leak)
	}
	return found
}

func (d *deployment) canaries() map[string]string {
	all := map[string]string{
		"community": canaryFleetCommunity, "v3 authentication password": canaryFleetAuth, "v3 privacy password": canaryFleetPriv,
	}
	for _, pair := range d.env {
		name, value, _ := strings.Cut(pair, "=")
		switch name {
		case "REDIS_PASSWORD", "REDIS_SENTINEL_PASSWORD":
			if value != "" {
				all[name] = value
			}
		case "DB_PASSWORD":
			all["password of the database"] = value
		case "APP_KEY":
			all["key"] = strings.TrimPrefix(value, "base64:")
		}
	}
	return all
}

// get asks the operators' listener of a process.
func (d *deployment) get(p *process, path string) []byte {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), startLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.t.Errorf("ask %s for %s: %v", p.name, path, err)
		return nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		d.t.Errorf("%s answers %s with %s, %v", p.name, path, response.Status, err)
	}
	return text
}

func (d *deployment) allQueuePages(client cluster.Client) []string {
	pages := []string{"queues", "servers", "redis_info", "queue_stats", "schedulers"}
	queues, err := client.SMembers(d.t.Context(), "asynq:queues").Result()
	if err != nil {
		d.t.Fatal(err)
	}
	for _, queue := range queues {
		for _, state := range []string{"active", "pending", "scheduled", "retry", "archived", "completed"} {
			pages = append(pages, "queues/"+queue+"/"+state+"_tasks")
		}
	}
	return pages
}

// dumpRedis reads every key of Redis, and the entries of the log as they were before they were packed.
func (d *deployment) dumpRedis(client cluster.Client) (all []byte) {
	d.t.Helper()
	ctx := d.t.Context()
	keys := client.Scan(ctx, 0, "", 1000).Iterator()
	for keys.Next(ctx) {
		key := keys.Val()
		all = append(all, key...)
		kind, err := client.Type(ctx, key).Result()
		if err != nil {
			d.t.Fatal(err)
		}
		var value any
		switch kind {
		case "string":
			value, err = client.Get(ctx, key).Result()
		case "hash":
			value, err = client.HGetAll(ctx, key).Result()
		case "list":
			value, err = client.LRange(ctx, key, 0, -1).Result()
		case "set":
			value, err = client.SMembers(ctx, key).Result()
		case "zset":
			value, err = client.ZRange(ctx, key, 0, -1).Result()
		case "none": // gone meanwhile
		case "stream":
			messages, readErr := client.XRange(ctx, key, "-", "+").Result()
			for _, m := range messages {
				payload, _ := m.Values["e"].(string)
				if body, err := s2.Decode(nil, []byte(payload)[1:]); err == nil {
					all = append(all, body...)
				}
			}
			value, err = messages, readErr
		default:
			d.t.Errorf("key %s is of type %s", key, kind)
		}
		if err != nil && ctx.Err() != nil {
			d.t.Fatal(err)
		}
		all = fmt.Append(all, value)
	}
	if err := keys.Err(); err != nil {
		d.t.Fatal(err)
	}
	return all
}
