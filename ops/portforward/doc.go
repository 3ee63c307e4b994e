// Package portforward reaches ports of pods through the API server, as `kubectl port-forward` does. It
// works wherever kubectl works: unlike the API server's proxy it needs no route from the control plane to the
// pods' network, and no NetworkPolicy blocks it, because the kubelet connects inside the pod.
//
// Open forwards to one pod. Follow keeps a forward open to every ready pod of a selector, as pods come and go;
// a port-forward to a Service chooses one pod and stays with it.
package portforward
