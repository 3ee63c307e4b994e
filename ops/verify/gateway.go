package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"vllm-autoscaling/ops/gateway"
	"vllm-autoscaling/ops/load"
	"vllm-autoscaling/stacks/outputs"
)

const (
	// streamedTokens is the length of the answer that is requested through the gateway.
	streamedTokens = 32
	// streamedSpread is the shortest time in which so many tokens arrive one after the other: no GPU decodes one in less than a
	// millisecond. What is buffered arrives at once.
	streamedSpread = 10 * time.Millisecond
)

// stagesOf lists the stages of a stack: the gateway is the last one where there is one.
func stagesOf(p outputs.Pipeline) []Stage {
	stages := Stages()
	if p.Gateway == nil {
		return stages
	}
	return append(stages, Stage{
		"gateway", "the route is accepted, the Gateway has an address, and an answer streams through it", true, (*walk).gateway,
	})
}

// gateway checks the way in for clients outside the cluster.
func (w *walk) gateway(ctx context.Context) (string, error) {
	g := *w.Pipeline.Gateway
	object, err := gateway.Get(ctx, w.client, g)
	if err != nil {
		return "", w.noGateway(ctx, g, err)
	}
	if err := w.programmed(ctx, g, object); err != nil {
		return "", err
	}
	if err := w.routeAccepted(ctx, g); err != nil {
		return "", err
	}
	address, err := gateway.Address(object, g.URL)
	if err != nil {
		return "", &failure{measured: err.Error(), expected: "an address in its status", look: w.gatewayHints(g)}
	}
	streamed, err := w.through(ctx, g, address)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Gateway %s/%s at %s, route accepted, %s", g.Namespace, g.Name, address, streamed), nil
}

// noGateway explains why the Gateway cannot be read.
func (w *walk) noGateway(ctx context.Context, g outputs.Gateway, err error) error {
	if !apierrors.IsNotFound(err) {
		return w.allowed(err)
	}
	if !gateway.Served(ctx, w.client) {
		return &failure{
			measured: "the cluster does not serve the Gateway API (gateway.networking.k8s.io/v1)", expected: "its CRDs and a controller",
			look: []string{"enable the controller of the cloud, or install one: docs/expose.md"},
		}
	}
	return &failure{
		measured: fmt.Sprintf("there is no Gateway %s/%s", g.Namespace, g.Name), expected: "the Gateway of expose.gateway, or the stack's own",
		look: []string{"$ " + w.Kubectl + " get gateways -A", "$ pulumi up --refresh --stack " + w.Stack},
	}
}

// programmed checks the status of the Gateway.
func (w *walk) programmed(ctx context.Context, g outputs.Gateway, object *gatewayv1.Gateway) error {
	class := string(object.Spec.GatewayClassName)
	for _, condition := range []gatewayv1.GatewayConditionType{gatewayv1.GatewayConditionAccepted, gatewayv1.GatewayConditionProgrammed} {
		reason, ok := holds(object.Status.Conditions, string(condition))
		if ok {
			continue
		}
		f := &failure{
			measured: fmt.Sprintf("Gateway %s/%s of class %s is not %s: %s", g.Namespace, g.Name, class, condition, reason),
			expected: fmt.Sprintf("condition %s is True", condition), look: w.gatewayHints(g),
		}
		if _, err := gateway.GetClass(ctx, w.client, class); apierrors.IsNotFound(err) {
			f.measured = fmt.Sprintf("there is no GatewayClass %s, so that no controller serves Gateway %s/%s", class, g.Namespace, g.Name)
			f.look = append([]string{"enable the add-on that has the class, or set expose.gatewayClass to one that exists: docs/expose.md",
				"$ " + w.Kubectl + " get gatewayclasses"}, f.look...)
		}
		return f
	}
	return nil
}

// routeAccepted checks the status of the route at its Gateway.
func (w *walk) routeAccepted(ctx context.Context, g outputs.Gateway) error {
	s := w.Pipeline.Serving
	route, err := gateway.GetRoute(ctx, w.client, s, g)
	if apierrors.IsNotFound(err) {
		return &failure{
			measured: fmt.Sprintf("there is no HTTPRoute %s/%s", s.Namespace, g.Route), expected: "the HTTPRoute that the stack created",
			look: []string{"$ pulumi up --refresh --stack " + w.Stack},
		}
	}
	if err != nil {
		return w.allowed(err)
	}
	look := []string{w.kubectl(s.Namespace, "describe httproute %s", g.Route)}
	i := slices.IndexFunc(route.Status.Parents, func(p gatewayv1.RouteParentStatus) bool {
		return string(p.ParentRef.Name) == g.Name && (p.ParentRef.Namespace == nil || string(*p.ParentRef.Namespace) == g.Namespace)
	})
	if i < 0 {
		return &failure{
			measured: fmt.Sprintf("no controller has looked at HTTPRoute %s/%s for Gateway %s/%s", s.Namespace, g.Route, g.Namespace, g.Name),
			expected: "the Gateway's controller in the status of the route", look: append(look, w.gatewayHints(g)...),
		}
	}
	conditions := route.Status.Parents[i].Conditions
	for _, condition := range []gatewayv1.RouteConditionType{gatewayv1.RouteConditionAccepted, gatewayv1.RouteConditionResolvedRefs} {
		reason, ok := holds(conditions, string(condition))
		if ok {
			continue
		}
		if strings.HasPrefix(reason, string(gatewayv1.RouteReasonNotAllowedByListeners)) {
			look = append([]string{fmt.Sprintf("allow routes from namespace %s in the listener of Gateway %s/%s: allowedRoutes.namespaces",
				s.Namespace, g.Namespace, g.Name)}, look...)
		}
		return &failure{
			measured: fmt.Sprintf("HTTPRoute %s/%s at Gateway %s/%s is not %s: %s", s.Namespace, g.Route, g.Namespace, g.Name, condition, reason),
			expected: fmt.Sprintf("condition %s is True", condition), look: look,
		}
	}
	return nil
}

// holds reports whether a condition is true, and the reason and the message if it is not.
func holds(conditions []metav1.Condition, kind string) (reason string, ok bool) {
	for _, c := range conditions {
		if c.Type == kind {
			return strings.TrimSuffix(c.Reason+": "+c.Message, ": "), c.Status == metav1.ConditionTrue
		}
	}
	return "no controller has set the condition", false
}

// through requests a streamed answer through the gateway, as a client does.
func (w *walk) through(ctx context.Context, g outputs.Gateway, address string) (string, error) {
	s := w.Pipeline.Serving
	deployment, err := w.client.AppsV1().Deployments(s.Namespace).Get(ctx, s.Deployment, metav1.GetOptions{})
	if err != nil {
		return "", w.allowed(err)
	}
	key, err := APIKey(ctx, w.client, deployment)
	if err != nil {
		return "", w.allowed(err)
	}
	client := &http.Client{
		Transport:     gateway.Transport(address, 1),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	models, err := load.ModelsWith(ctx, client, load.Target{Name: g.URL, URL: g.URL}, key)
	if err != nil {
		return w.refused(g, address, err)
	}
	events, err := gateway.Stream(ctx, client, g.URL, key, models[0].ID, streamedTokens)
	if err != nil {
		return w.refused(g, address, err)
	}
	if len(events) > 1 && events.Spread() < streamedSpread {
		w.warn(fmt.Sprintf("%d events arrived within %s: does the gateway buffer answers?", len(events), events.Spread().Round(time.Millisecond)))
	}
	return fmt.Sprintf("%s streamed %d events over %d ms", g.URL, len(events), events.Spread().Milliseconds()), nil
}

// refused explains why no answer came through the gateway.
func (w *walk) refused(g outputs.Gateway, address string, err error) (string, error) {
	var status *load.StatusError
	asked := errors.As(err, &status) && (status.Code == http.StatusUnauthorized || status.Code == http.StatusForbidden || status.Code == http.StatusFound)
	switch {
	case asked && g.Auth == "gateway":
		return fmt.Sprintf("%s asks for the gateway's own credentials (%d), so no answer was requested", g.URL, status.Code), nil
	case gateway.Unreachable(err) && g.Internal:
		return "", &notVisible{measured: fmt.Sprintf("%s is inside the cloud's network, and this machine does not reach it: %v", address, err)}
	}
	s := w.Pipeline.Serving
	look := w.gatewayHints(g)
	if status != nil && status.Code >= http.StatusInternalServerError {
		look = append([]string{"does the NetworkPolicy of the server let the gateway in (vllm.clientNamespaces, vllm.clientCidrs)?",
			w.kubectl(s.Namespace, "describe networkpolicy %s", s.Service)}, look...)
	}
	return "", &failure{
		measured: fmt.Sprintf("no answer through %s at %s: %v", g.URL, address, err), expected: "a streamed answer",
		look: append(look, fmt.Sprintf("$ curl -N --connect-to ::%s %s/v1/models", address, g.URL)),
	}
}

// gatewayHints returns where to look at a Gateway.
func (w *walk) gatewayHints(g outputs.Gateway) []string {
	return []string{
		w.kubectl(g.Namespace, "describe gateway %s", g.Name),
		w.kubectl(w.Pipeline.Serving.Namespace, "describe httproute %s", g.Route),
		"a load balancer needs minutes: --wait 15m waits for it",
	}
}
