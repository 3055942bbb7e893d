package journal

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"time"

	"pollux/rrdcached"
)

// identityFile names the cluster and the target in an RRD tree, by its two
// sources' names. It never gets an update, so that it does not disturb the count of updates.
const identityFile = "_pollux.rrd"

// idBytes make 18 hexadecimal digits: with a letter before them the longest name that a source may have.
const idBytes = 9

var hexID = regexp.MustCompile(`^[0-9a-f]{18}$`)

// ErrOtherCluster says that an RRD tree belongs to another cluster.
var ErrOtherCluster = errors.New("the RRD tree belongs to another cluster")

// Identify returns the id by which an RRDCached is known: 18 hexadecimal
// digits that stand in its tree, whatever address it is reached by. A tree without id gets one.
// It asks first whether the daemon allows all that recording needs, so that a
// command which is forbidden is named at once, and not by the first file that needs it.
//
// clusterID is 18 lower-case hexadecimal digits. A tree that another cluster
// has marked is ErrOtherCluster, and the text names both. The other errors are those of package rrdcached.
func Identify(ctx context.Context, client *rrdcached.Client, clusterID string) (string, error) {
	if !hexID.MatchString(clusterID) {
		return "", fmt.Errorf("identify the RRD tree: cluster id %.40q is not 18 hexadecimal digits", clusterID)
	}
	if err := client.Allowed(ctx); err != nil {
		return "", err
	}
	cluster, target, err := readIdentity(ctx, client)
	if errors.Is(err, rrdcached.ErrNoFile) {
		if err := writeIdentity(ctx, client, clusterID); err != nil {
			return "", err
		}
		cluster, target, err = readIdentity(ctx, client) // another node may have been first
	}
	if err != nil {
		return "", err
	}
	if cluster != clusterID {
		return "", fmt.Errorf("%w: file %s says cluster %s, this node is of cluster %s", ErrOtherCluster, identityFile, cluster, clusterID)
	}
	return target, nil
}

// ReadIdentity is the id by which Identify knows an RRDCached. It writes
// nothing: a tree without id is rrdcached.ErrNoFile.
func ReadIdentity(ctx context.Context, client *rrdcached.Client, clusterID string) (target string, err error) {
	cluster, target, err := readIdentity(ctx, client)
	if err == nil && cluster != clusterID {
		err = fmt.Errorf("%w: file %s says cluster %s, this node is of cluster %s", ErrOtherCluster, identityFile, cluster, clusterID)
	}
	return target, err
}

func readIdentity(ctx context.Context, client *rrdcached.Client) (cluster, target string, err error) {
	info, err := client.Info(ctx, identityFile)
	if err != nil {
		return "", "", fmt.Errorf("read the identity of the RRD tree: %w", err)
	}
	for _, source := range info.Sources {
		if source.Name == "" {
			continue
		}
		id := source.Name[1:]
		switch {
		case !hexID.MatchString(id):
		case source.Name[0] == 'c':
			cluster = id
		case source.Name[0] == 't':
			target = id
		}
	}
	if cluster == "" || target == "" {
		return "", "", fmt.Errorf("read the identity of the RRD tree: %s has no sources c<cluster> and t<target>", identityFile)
	}
	return cluster, target, nil
}

func writeIdentity(ctx context.Context, client *rrdcached.Client, clusterID string) error {
	id := make([]byte, idBytes)
	_, _ = rand.Read(id) // crypto/rand: never fails
	schema := rrdcached.Schema{
		Step: 300,
		Sources: []rrdcached.Source{
			{Name: "c" + clusterID, Type: "GAUGE", Heartbeat: 600, Min: rrdcached.NoLimit, Max: rrdcached.NoLimit},
			{Name: "t" + hex.EncodeToString(id), Type: "GAUGE", Heartbeat: 600, Min: rrdcached.NoLimit, Max: rrdcached.NoLimit},
		},
		Archives: []rrdcached.Archive{{Function: "AVERAGE", XFF: 0.5, Steps: 1, Rows: 1}},
	}
	err := client.Create(ctx, identityFile, schema, time.Now(), "")
	if err != nil && !errors.Is(err, rrdcached.ErrExists) {
		return fmt.Errorf("give the RRD tree an identity: %w", err)
	}
	return nil
}
