//! Paths, and the load and the end of the server.

use super::entry::{ProblemCode, codes};

codes! {
    route_not_found [404]
        "The path does not exist."
        "Correct the path: `/openapi.json` lists all paths.";
    method_not_allowed [405]
        "The path does not support the method. `Allow` lists the supported methods."
        "Use a method of the header `Allow`.";
    problem_not_found [404]
        "No problem has that code."
        "See `/problems` for all codes.";
    connections_full [503]
        "The server has reached its maximum number of connections."
        "Try again after `Retry-After`.";
    internal [500]
        "A defect of Lector."
        "Try again; if the problem persists, report it with the request id.";
    deployment_not_found [404]
        "The deployment does not exist."
        "Correct the name, or leave it out for the default deployment.";
    server_overloaded [503]
        "The server has reached its limit of documents, bytes or pending work."
        "Try again after `Retry-After`.";
    submission_too_large [413]
        "The document is larger than the memory limit for documents, of the server or of the tenant (`limits.held_bytes_max`)."
        "Send a smaller document, or ask the operator to raise the limit.";
    shutting_down [503]
        "The server is shutting down and accepts no new work."
        "Send the request to another server, or again after the restart.";
    deadline_exceeded [504]
        "The timeout expired. `pages` holds the pages that were finished."
        "Increase the timeout, or request fewer pages.";
}
