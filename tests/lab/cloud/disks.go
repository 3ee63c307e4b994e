package cloud

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ManagedLabel marks the objects that a cloud itself creates in a cluster. They belong to no stack.
const ManagedLabel = "lab.vllm-autoscaling/cloud"

// Disk is the type of a volume that a cloud created for a claim. It is deleted only with the claim: a cluster that is
// deleted first leaves it behind, except on Azure, where it is in the group of the cluster's nodes.
const Disk = "lab:cloud:Disk"

// storage is a cloud's default StorageClass and its CSI driver.
type storage struct {
	class, driver string
}

const (
	defaultClass    = "storageclass.kubernetes.io/is-default-class"
	selectedNode    = "volume.kubernetes.io/selected-node"
	provisionedBy   = "pv.kubernetes.io/provisioned-by"
	diskFinalizer   = "external-provisioner.volume.kubernetes.io/finalizer"
	zoneUnspecified = "0"
)

// installStorage installs the CSI driver and the default class of a cluster's cloud.
func (c *Cloud) installStorage(ctx context.Context, cluster *Resource) error {
	s := c.doubleOf(cluster.Token).storage
	storageAPI := c.options.ControlPlane.Client().StorageV1()
	managed := map[string]string{ManagedLabel: "true"}
	no, wait := false, storagev1.VolumeBindingWaitForFirstConsumer
	driver := &storagev1.CSIDriver{
		ObjectMeta: metav1.ObjectMeta{Name: s.driver, Labels: managed},
		// Simulated nodes do not attach volumes.
		Spec: storagev1.CSIDriverSpec{AttachRequired: &no},
	}
	if _, err := storageAPI.CSIDrivers().Create(ctx, driver, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("CSI driver %s: %w", s.driver, err)
	}
	class := &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: s.class, Labels: managed, Annotations: map[string]string{defaultClass: "true"}},
		Provisioner: s.driver, VolumeBindingMode: &wait,
	}
	if _, err := storageAPI.StorageClasses().Create(ctx, class, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("StorageClass %s: %w", s.class, err)
	}
	return nil
}

// driverRuns returns the cluster in which a CSI driver runs, nil for none.
func (c *Cloud) driverRuns(driver string) *Resource {
	for _, r := range c.resources {
		if c.gates[r.ID] == nil {
			continue
		}
		if d := c.doubleOf(r.Token); d.storage.driver == driver && (d.storageRuns == nil || d.storageRuns(c, r.ID)) {
			return r
		}
	}
	return nil
}

// provision creates disks for new claims and deletes those of deleted claims.
func (c *Cloud) provision(ctx context.Context) error {
	client := c.options.ControlPlane.Client()
	cached := metav1.ListOptions{ResourceVersion: "0"}
	claims, err := client.CoreV1().PersistentVolumeClaims("").List(ctx, cached)
	if err != nil {
		return err
	}
	volumes, err := client.CoreV1().PersistentVolumes().List(ctx, cached)
	if err != nil {
		return err
	}
	if len(claims.Items) == 0 && len(volumes.Items) == 0 {
		return nil
	}
	for i := range claims.Items {
		claim := &claims.Items[i]
		node := claim.Annotations[selectedNode]
		if claim.Spec.VolumeName != "" || claim.DeletionTimestamp != nil || node == "" || claim.Spec.StorageClassName == nil ||
			slices.ContainsFunc(volumes.Items, func(v corev1.PersistentVolume) bool { return v.Name == "pvc-"+string(claim.UID) }) {
			continue
		}
		class, err := client.StorageV1().StorageClasses().Get(ctx, *claim.Spec.StorageClassName, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		if err := c.makeDisk(ctx, claim, class, node); err != nil {
			return err
		}
	}
	for i := range volumes.Items {
		if err := c.releaseDisk(ctx, &volumes.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

// makeDisk creates a disk for a claim in the zone of the node that the scheduler has chosen.
func (c *Cloud) makeDisk(ctx context.Context, claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, nodeName string) error {
	client := c.options.ControlPlane.Client()
	c.mu.Lock()
	cluster := c.driverRuns(class.Provisioner)
	c.mu.Unlock()
	if cluster == nil {
		return nil
	}
	node, err := client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil // the scheduler will choose another one
	}
	if err != nil {
		return err
	}
	zone := node.Labels[corev1.LabelTopologyZone]
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-" + string(claim.UID), Annotations: map[string]string{provisionedBy: class.Provisioner},
			Finalizers: []string{diskFinalizer}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]}, AccessModes: claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete, StorageClassName: class.Name,
			ClaimRef: &corev1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: claim.Namespace, Name: claim.Name,
				UID: claim.UID},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				CSI: &corev1.CSIPersistentVolumeSource{Driver: class.Provisioner, VolumeHandle: "disk-" + randomHex(16)},
			},
		},
	}
	if zone != zoneUnspecified {
		volume.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{zone}}},
		}}}}
	}
	if _, err := client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("volume of claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resources = append(c.resources, &Resource{Token: Disk, ID: volume.Spec.CSI.VolumeHandle, Region: cluster.Region, Outputs: map[string]any{
		"claim": claim.Namespace + "/" + claim.Name, "cluster": cluster.ID, "zone": zone,
	}})
	fmt.Fprintf(c.options.Log, "cloud: disk of claim %s/%s made in zone %s\n", claim.Namespace, claim.Name, zone)
	return nil
}

// releaseDisk deletes the disk of a deleted claim.
func (c *Cloud) releaseDisk(ctx context.Context, volume *corev1.PersistentVolume) error {
	if volume.Spec.CSI == nil || volume.Status.Phase != corev1.VolumeReleased && volume.DeletionTimestamp == nil ||
		volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		return nil
	}
	c.mu.Lock()
	runs := c.driverRuns(volume.Spec.CSI.Driver) != nil
	c.mu.Unlock()
	if !runs {
		return nil
	}
	volumes := c.options.ControlPlane.Client().CoreV1().PersistentVolumes()
	finalizers := slices.DeleteFunc(slices.Clone(volume.Finalizers), func(f string) bool { return f == diskFinalizer })
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": finalizers}})
	if err != nil {
		return err
	}
	if _, err := volumes.Patch(ctx, volume.Name, "application/merge-patch+json", patch, metav1.PatchOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("volume %s: %w", volume.Name, err)
	}
	if err := volumes.Delete(ctx, volume.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("volume %s: %w", volume.Name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deleteDisks(func(disk *Resource) bool { return disk.ID == volume.Spec.CSI.VolumeHandle })
	return nil
}

// deleteDisks deletes the disks that satisfy a condition. The caller holds the lock.
func (c *Cloud) deleteDisks(condition func(*Resource) bool) {
	c.resources = slices.DeleteFunc(c.resources, func(r *Resource) bool {
		gone := r.Token == Disk && condition(r)
		if gone {
			fmt.Fprintf(c.options.Log, "cloud: disk of claim %s deleted\n", object(r.Outputs).text("claim"))
		}
		return gone
	})
}
