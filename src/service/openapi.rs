//! The OpenAPI 3.1 document of a service, from its contract alone. The build writes it, the server serves it.
