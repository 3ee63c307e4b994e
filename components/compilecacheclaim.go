package components

import (
	"fmt"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

const (
	// NodeCacheDir is the folder of the caches on a node, with a folder for each namespace.
	NodeCacheDir = "/var/lib/vllm-autoscaling/compile-cache"
	// nodeVolumeSize is the nominal size of a folder: nobody limits it but the program that fills it, and a bound volume that no class has
	// made cannot be resized.
	nodeVolumeSize = "1Gi"
)

// compileCacheClaim returns the name of the claim that the pods mount. One that is created has its class in its name: the class of a
// claim cannot change, and a claim of the same name could only be made when no pod mounts the earlier one any more.
func (a *VLLMArgs) compileCacheClaim() string {
	switch cache := a.CompileCache; {
	case cache.Claim != "":
		return cache.Claim
	case cache.StorageClass != "":
		return a.Name + "-compile-cache-" + cache.StorageClass
	}
	return a.Name + "-compile-cache"
}

// newCompileCacheClaim registers the claim of the cache; it returns nil for one that exists. Its volume keeps the size with which it was
// created: Kubernetes refuses a smaller one, and not every class has larger ones.
func (a *VLLMArgs) newCompileCacheClaim(ctx *pulumi.Context, c *VLLM) (pulumi.Resource, error) {
	if a.CompileCache.Claim != "" {
		return nil, nil
	}
	size := a.CompileCache.Size
	if a.CompileCache.OnNodes {
		size = nodeVolumeSize
	}
	spec := corev1.PersistentVolumeClaimSpecArgs{
		AccessModes: pulumi.ToStringArray([]string{"ReadWriteMany"}),
		Resources:   corev1.VolumeResourceRequirementsArgs{Requests: pulumi.ToStringMap(map[string]string{"storage": size})},
		// Of a volume that is named, or of a class.
		StorageClassName: pulumi.String(a.CompileCache.StorageClass),
	}
	needs := a.DependsOn
	if a.CompileCache.OnNodes {
		volume, err := a.newNodeVolume(ctx, c)
		if err != nil {
			return nil, err
		}
		spec.VolumeName = pulumi.String(a.nodeVolume())
		needs = append(append([]pulumi.Resource{}, needs...), volume)
	}
	name := a.compileCacheClaim()
	claim, err := corev1.NewPersistentVolumeClaim(ctx, name, &corev1.PersistentVolumeClaimArgs{
		// skipAwait: a class may create the volume only when the first pod is there.
		Metadata: metav1.ObjectMetaArgs{
			Name:        pulumi.String(name),
			Namespace:   pulumi.String(a.Namespace),
			Labels:      pulumi.ToStringMap(withLabels(vllmSelector(a.Name))),
			Annotations: skipAwait(),
		},
		Spec: spec,
	}, childOptions(c, needs, pulumi.IgnoreChanges([]string{"spec.resources.requests.storage"}))...)
	if err != nil {
		return nil, fmt.Errorf("registering PersistentVolumeClaim %s/%s: %w", a.Namespace, name, err)
	}
	return claim, nil
}

// nodeVolume returns the name of the volume that is a folder of each node. Volumes have no namespace.
func (a *VLLMArgs) nodeVolume() string { return a.Namespace + "-" + a.compileCacheClaim() }

// newNodeVolume registers a volume that is a folder of whatever node a pod runs on. A pod that the restricted Pod Security Standard admits
// may not name such a folder itself, but may mount a claim whose volume an administrator has made of it.
func (a *VLLMArgs) newNodeVolume(ctx *pulumi.Context, c *VLLM) (pulumi.Resource, error) {
	name := a.nodeVolume()
	volume, err := corev1.NewPersistentVolume(ctx, name, &corev1.PersistentVolumeArgs{
		Metadata: metav1.ObjectMetaArgs{
			Name:        pulumi.String(name),
			Labels:      pulumi.ToStringMap(withLabels(vllmSelector(a.Name))),
			Annotations: skipAwait(),
		},
		Spec: corev1.PersistentVolumeSpecArgs{
			AccessModes:                   pulumi.ToStringArray([]string{"ReadWriteMany"}),
			Capacity:                      pulumi.ToStringMap(map[string]string{"storage": nodeVolumeSize}),
			PersistentVolumeReclaimPolicy: pulumi.String("Retain"),
			ClaimRef: corev1.ObjectReferenceArgs{
				Kind: pulumi.String("PersistentVolumeClaim"), Namespace: pulumi.String(a.Namespace), Name: pulumi.String(a.compileCacheClaim()),
			},
			// The kubelet makes a folder that only root may write to; the node agent gives it to the server.
			HostPath: corev1.HostPathVolumeSourceArgs{Path: pulumi.String(NodeCacheDir + "/" + a.Namespace), Type: pulumi.String("DirectoryOrCreate")},
		},
	}, childOptions(c, a.DependsOn)...)
	if err != nil {
		return nil, fmt.Errorf("registering PersistentVolume %s: %w", name, err)
	}
	return volume, nil
}
