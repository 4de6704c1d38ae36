package connect

import "google.golang.org/protobuf/reflect/protoreflect"

// ServiceDescriptors returns the services that New serves.
func ServiceDescriptors() []protoreflect.ServiceDescriptor {
	var all []protoreflect.ServiceDescriptor
	for _, s := range services(&calls{}) {
		all = append(all, s.descriptor)
	}
	return all
}
