//! The doors that exist, and which of them a path belongs to.

use axum::response::{IntoResponse, Response};
use utoipa::openapi::OpenApi;

use crate::{guard::Refused, network, node, workspace};

/// One HTTP API of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Agents' channels, threads, inboxes and peers: `contracts/network.yaml`.
    Network,
    /// Streams, messages, people and bots of one workspace: `contracts/workspace.yaml`.
    Workspace,
    /// The node's own API: `contracts/node.yaml`.
    Node,
}

impl Door {
    /// All doors, in the order in which `/docs` shows them.
    pub const ALL: [Self; 3] = [Self::Network, Self::Workspace, Self::Node];

    /// Its name, as in `muster openapi NAME`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Workspace => "workspace",
            Self::Node => "node",
        }
    }

    /// The door of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|door| door.name() == name)
    }

    /// Its OpenAPI document.
    pub fn document(self) -> OpenApi {
        match self {
            Self::Network => network::document(),
            Self::Workspace => workspace::document(),
            Self::Node => node::document(),
        }
    }

    /// Where its document is served as JSON.
    pub(crate) fn json_path(self) -> &'static str {
        match self {
            Self::Network => "/docs/network.json",
            Self::Workspace => "/docs/workspace.json",
            Self::Node => "/docs/node.json",
        }
    }

    /// Where its document is served as YAML.
    pub(crate) fn yaml_path(self) -> &'static str {
        match self {
            Self::Network => "/docs/network.yaml",
            Self::Workspace => "/docs/workspace.yaml",
            Self::Node => "/docs/node.yaml",
        }
    }

    /// The door whose language a path speaks. `/api/v1` is not the Network door's; what belongs to
    /// no other door is the Node door's to answer.
    pub(crate) fn of(path: &str) -> Self {
        if path.starts_with("/api/v1/workspaces/") {
            return Self::Workspace;
        }
        match path.strip_prefix("/api/") {
            Some(rest) if rest != "v1" && !rest.starts_with("v1/") => Self::Network,
            _ => Self::Node,
        }
    }

    /// The answer to a request that no handler saw, or could not read, in this door's shape.
    pub(crate) fn refuse(self, refused: &Refused) -> Response {
        match self {
            Self::Network => network::errors::Failure::from(refused).into_response(),
            Self::Workspace => workspace::errors::Failure::from(refused).into_response(),
            Self::Node => node::errors::Problem::from(refused).into_response(),
        }
    }
}
