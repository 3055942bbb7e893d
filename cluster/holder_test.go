package cluster_test

import (
	"testing"
	"time"

	"pollux/cluster"
)

func TestDeviceHolder(t *testing.T) {
	t.Parallel()
	_, client := server(t)
	ctx := t.Context()
	if h, lapses, err := cluster.DeviceHolder(ctx, client, 7); err != nil || h != (cluster.Holder{}) || lapses != 0 {
		t.Errorf("nobody: %+v, %v, %v", h, lapses, err)
	}
	release, ok, err := cluster.NewDeviceLeases(client, "c1", quiet()).Acquire(ctx, 7, 10*time.Second, time.Now().Add(time.Minute))
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	h, lapses, err := cluster.DeviceHolder(ctx, client, 7)
	if err != nil || h.Name != "c1" || h.Place == "" || lapses <= 0 || lapses > 10*time.Second {
		t.Errorf("held: %+v, %v, %v", h, lapses, err)
	}
	release()
	if h, _, err := cluster.DeviceHolder(ctx, client, 7); err != nil || h.Token != "" {
		t.Errorf("released: %+v, %v", h, err)
	}
	must(t, client.Set(ctx, "pollux:lease:7", "a\x1b[31mb", 0).Err()) // not ours
	if h, lapses, err := cluster.DeviceHolder(ctx, client, 7); err != nil || h.Name != "a?[31mb" || h.Place != "" || lapses != 0 {
		t.Errorf("something else: %+v, %v, %v", h, lapses, err)
	}
	must(t, client.LPush(ctx, "pollux:lease:8", "x").Err())
	if _, _, err := cluster.DeviceHolder(ctx, client, 8); err == nil {
		t.Error("a key of another type is read")
	}
}
