package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
)

const (
	// Kubernetes' own names: the node that a volume is wanted on, and who makes the volumes of a claim.
	selectedNode  = "volume.kubernetes.io/selected-node"
	provisionedBy = "pv.kubernetes.io/provisioned-by"
	provisioner   = "straddle.dev/volumes"
)

// volumes makes a volume for each claim of a class, and removes it when its claim is gone, until it is ended.
//
// A volume is a folder of the node, of the kind `local`: like the disk of a cloud it belongs to root at first, and
// Kubernetes gives it to the group that a pod asks for. Kubernetes' own maker of folders for tests does neither.
func volumes(arguments []string) error {
	var class, node, dir string
	cluster, rest, err := flagsOf("volumes", arguments, func(flags *flag.FlagSet) {
		flags.StringVar(&class, "class", "", "the class of the volumes")
		flags.StringVar(&node, "node", "", "the name of the node")
		flags.StringVar(&dir, "dir", "", "the folder of the volumes")
	})
	if err != nil {
		return err
	}
	if class == "" || node == "" || dir == "" || len(rest) > 0 {
		return errUsage
	}
	ctx := context.Background()
	factory := informers.NewSharedInformerFactory(cluster.client, 0)
	claims, made := factory.Core().V1().PersistentVolumeClaims().Lister(), factory.Core().V1().PersistentVolumes().Lister()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	// What is wanted is read from memory: to look again is cheap, and forgets nothing.
	for ; ; time.Sleep(pause) {
		wanted, err := claims.List(labels.Everything())
		if err != nil {
			return err
		}
		for _, claim := range wanted {
			if name := claim.Spec.StorageClassName; name != nil && *name == class &&
				claim.Status.Phase == core.ClaimPending && claim.Annotations[selectedNode] == node {
				if err := cluster.makeVolume(ctx, claim, class, node, dir); err != nil {
					fmt.Fprintf(os.Stderr, "volume of %s/%s: %v\n", claim.Namespace, claim.Name, err)
				}
			}
		}
		existing, err := made.List(labels.Everything())
		if err != nil {
			return err
		}
		for _, volume := range existing {
			if volume.Annotations[provisionedBy] == provisioner && volume.Status.Phase == core.VolumeReleased &&
				volume.Spec.PersistentVolumeReclaimPolicy == core.PersistentVolumeReclaimDelete && volume.DeletionTimestamp == nil {
				if err := cluster.removeVolume(ctx, volume); err != nil {
					fmt.Fprintf(os.Stderr, "volume %s: %v\n", volume.Name, err)
				}
			}
		}
	}
}

// makeVolume makes the volume of a claim; its name is the claim's, so that a second one cannot be made.
func (c *cluster) makeVolume(ctx context.Context, claim *core.PersistentVolumeClaim, class, node, dir string) error {
	name := "pvc-" + string(claim.UID)
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	_, err := c.client.CoreV1().PersistentVolumes().Create(ctx, &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{provisionedBy: provisioner}},
		Spec: core.PersistentVolumeSpec{
			StorageClassName:              class,
			AccessModes:                   claim.Spec.AccessModes,
			Capacity:                      claim.Spec.Resources.Requests,
			PersistentVolumeReclaimPolicy: core.PersistentVolumeReclaimDelete,
			ClaimRef: &core.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: path}},
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{{
				MatchExpressions: []core.NodeSelectorRequirement{{
					Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{node},
				}},
			}}}},
		},
	}, meta.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (c *cluster) removeVolume(ctx context.Context, volume *core.PersistentVolume) error {
	if err := os.RemoveAll(volume.Spec.Local.Path); err != nil {
		return err
	}
	err := c.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
