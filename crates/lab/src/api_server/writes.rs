//! What clients write, and single objects that they read.

use serde_json::Value;

use super::asked::Verb;
use super::object::{key, metadata};
use super::patch;
use super::resource::{Resource, Target};
use super::shared::{Shared, State, now};
use super::status::Status;
use super::store::{text, uid};
use super::validate::check_event;

/// A request to write.
pub(super) struct Write<'a> {
    pub(super) target: &'a Target,
    pub(super) verb: Verb,
    pub(super) content_type: &'a str,
    pub(super) body: &'a [u8],
}

/// One object, as JSON.
pub(super) fn get(shared: &Shared, target: &Target) -> Result<Vec<u8>, Status> {
    let (key, name) = place(target)?;
    let state = shared.state();
    match state.store.get(target.resource, &key) {
        Some(object) => Ok(object.json()),
        None => Err(Status::not_found(target.resource, name)),
    }
}

/// Writes, and returns the HTTP status and what to answer.
pub(super) fn write(shared: &Shared, write: &Write<'_>) -> Result<(u16, Vec<u8>), Status> {
    shared.change(|state| match write.verb {
        Verb::Create => create(state, write),
        Verb::Update => update(state, write),
        Verb::Patch => patch(state, write),
        Verb::Delete => delete(state, write),
        _ => Err(Status::method_not_allowed()),
    })
}

fn create(state: &mut State, write: &Write<'_>) -> Result<(u16, Vec<u8>), Status> {
    let resource = write.target.resource;
    let somewhere = write.target.namespace.is_some() == resource.is_namespaced();
    if write.target.name.is_some() || !somewhere {
        return Err(Status::method_not_allowed());
    }
    let mut value = read(write)?;
    let prefix = text(&value, "/metadata/generateName").map(str::to_owned);
    if text(&value, "/metadata/name")
        .unwrap_or_default()
        .is_empty()
        && let Some(prefix) = prefix
    {
        let name = format!("{prefix}{}", &uid(state.store.version() + 1)[..5]);
        metadata(&mut value).insert("name".into(), name.into());
    }
    let name = text(&value, "/metadata/name")
        .unwrap_or_default()
        .to_owned();
    if name.is_empty() {
        let message = "Required value: name or generateName is required".to_owned();
        let causes = [("metadata.name", "FieldValueRequired", message)];
        return Err(Status::invalid(
            resource.group(),
            resource.kind(),
            "",
            &causes,
        ));
    }
    if resource == Resource::Events {
        check_event(&value)?;
    }
    let key = key(write.target.namespace.as_deref(), &name);
    if state.store.get(resource, &key).is_some() {
        return Err(Status::already_exists(resource, &name));
    }
    Ok((201, put(state, resource, value)))
}

fn update(state: &mut State, write: &Write<'_>) -> Result<(u16, Vec<u8>), Status> {
    let (key, name) = place(write.target)?;
    let value = read(write)?;
    if text(&value, "/metadata/name") != Some(name) {
        return Err(Status::bad_request(
            "the name of the object does not match the name on the URL",
        ));
    }
    replace(state, write.target.resource, &key, value)
}

fn patch(state: &mut State, write: &Write<'_>) -> Result<(u16, Vec<u8>), Status> {
    let (key, name) = place(write.target)?;
    let kind = patch::Kind::of(write.content_type).ok_or_else(Status::unknown_patch)?;
    let Some(object) = state.store.get(write.target.resource, &key) else {
        return Err(Status::not_found(write.target.resource, name));
    };
    let mut value = object.value();
    patch::patch(kind, &mut value, write.body)?;
    replace(state, write.target.resource, &key, value)
}

fn delete(state: &mut State, write: &Write<'_>) -> Result<(u16, Vec<u8>), Status> {
    let (key, name) = place(write.target)?;
    let event = state.store.delete(write.target.resource, &key);
    let Some(event) = event else {
        return Err(Status::not_found(write.target.resource, name));
    };
    state.tell(&event);
    Ok((
        200,
        event
            .before
            .as_ref()
            .map(|object| object.json())
            .unwrap_or_default(),
    ))
}

/// Where an object is, and its name.
fn place(target: &Target) -> Result<(String, &str), Status> {
    let name = target
        .name
        .as_deref()
        .ok_or_else(Status::method_not_allowed)?;
    Ok((key(target.namespace.as_deref(), name), name))
}

/// Reads an object, which is in the namespace of the path or says nothing of it.
fn read(write: &Write<'_>) -> Result<Value, Status> {
    let mut value: Value = serde_json::from_slice(write.body).map_err(|error| {
        Status::bad_request(format!("the object provided is unrecognized: {error}"))
    })?;
    let Some(wanted) = &write.target.namespace else {
        return Ok(value);
    };
    match text(&value, "/metadata/namespace") {
        None | Some("") => {
            metadata(&mut value).insert("namespace".into(), wanted.as_str().into());
            Ok(value)
        }
        Some(namespace) if namespace == wanted => Ok(value),
        Some(_) => Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
    }
}

fn replace(
    state: &mut State,
    resource: Resource,
    key: &str,
    value: Value,
) -> Result<(u16, Vec<u8>), Status> {
    if let Some(event) = state.store.update(resource, value, &now())? {
        state.tell(&event);
    }
    let object = state.store.get(resource, key);
    Ok((200, object.map(|object| object.json()).unwrap_or_default()))
}

fn put(state: &mut State, resource: Resource, value: Value) -> Vec<u8> {
    let event = state.put(resource, value);
    event
        .after
        .as_ref()
        .map(|object| object.json())
        .unwrap_or_default()
}
