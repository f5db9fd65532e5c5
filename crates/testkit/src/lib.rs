//! Real servers for tests: Redis and MongoDB, started on free ports and ended with the test.
