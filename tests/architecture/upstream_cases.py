"""Every containerd test case within Orlop's scope, with our test, or why there is none.

An entry names tests as `folder/file::function` or `folder/file::function[id]`; several where one
case of theirs is several of ours. An entry of type `Reason` says why there is none.

Source: the names of the test cases in containerd's core/metadata, core/content/testsuite,
core/snapshots/{testsuite,storage}, core/leases, pkg/{gc,filters,labels,identifiers,namespaces},
plugins/{content/local,gc}.
"""

from __future__ import annotations

from typing import Final, TypeAlias


class Reason(str):
    """Why a case has no test of ours."""

    __slots__ = ()


Ours: TypeAlias = "str | tuple[str, ...] | Reason"

_TIMING: Final = Reason("it measures time; benchmarks are no tests")
_NO_RPC: Final = Reason("there is no server: no header carries a namespace or a lease")
_NO_DATA: Final = Reason("descriptors are stored without data, as containerd's store does too")
_ONE_READER: Final = Reason(
    "a writer is written to; it has no copying that would tell kinds of readers apart"
)
_TOKENS: Final = Reason(
    "it looks at single tokens; ours are compared with containerd's by result and message: "
    "filters/test_filters::test_filters_agree_with_containerd"
)

_FILTERS: Final = "filters/test_filters::test_filters_agree_with_containerd"
_CONTAINERS: Final = "stores/test_container_store::"
_IMAGES: Final = "stores/test_image_store::"
_IMAGE_CASES: Final = "stores/test_image_store_cases::"
_LEASES: Final = "stores/test_lease_store::"
_SANDBOXES: Final = "stores/test_sandbox_store::"
_CONTENT: Final = "stores/test_content_store::"
_SHARING: Final = "stores/test_content_sharing::"
_SUITE: Final = "storage/test_content_suite::"
_LOCAL: Final = "storage/test_local_content::"
_SNAPSHOTS: Final = "storage/test_snapshot_suite::"
_MOUNTS: Final = "storage/test_snapshot_mounts::"
_METASTORE: Final = "storage/test_metastore::"
_OLD_TARGET: Final = f"{_IMAGE_CASES}test_an_image_is_not_deleted_with_its_old_target"
_REMOTE: Final = "stores/test_remote_namespaces::"
_GRAPH: Final = "collector/test_graph_of_records::"

_CONTAINER_UPDATES: Final[dict[str, str]] = {
    "UpdateIDFail": "test_update_id_fail",
    "UpdateRuntimeFail": "test_immutable_paths[UpdateRuntimeFail]",
    "UpdateRuntimeClearFail": ("test_immutable_fields_of_a_full_update[UpdateRuntimeClearFail]"),
    "UpdateSpec": "test_containers_update[UpdateSpec]",
    "UpdateSnapshot": "test_containers_update[UpdateSnapshot]",
    "UpdateImage": "test_containers_update[UpdateImage]",
    "UpdateLabel": "test_containers_update[UpdateLabel]",
    "DeleteAllLabels": "test_delete_all_labels",
    "DeleteLabel": "test_containers_update[DeleteLabel]",
    "UpdateSnapshotKeyImmutable": "test_immutable_paths[UpdateSnapshotKeyImmutable]",
    "SnapshotKeyWithoutSnapshot": ("test_what_is_invalid_is_refused[SnapshotKeyWithoutSnapshot]"),
    "UpdateExtensionsFull": "test_update_extensions_full",
    "UpdateExtensionsNotInFieldpath": ("test_containers_update[UpdateExtensionsNotInFieldpath]"),
    "UpdateExtensionsFieldPath": "test_update_extensions_field_path",
    "UpdateExtensionsFieldPathIsolated": (
        "test_containers_update[UpdateExtensionsFieldPathIsolated]"
    ),
}
_IMAGE_UPDATES: Final[dict[str, Ours]] = {
    "Touch": f"{_IMAGES}test_touch",
    "NoTarget": f"{_IMAGES}test_what_is_invalid_is_refused_and_writes_nothing[NoTarget]",
    "ReplaceLabels": f"{_IMAGE_CASES}test_replace_labels",
    "ReplaceLabelsFieldPath": f"{_IMAGES}test_images_update[ReplaceLabelsFieldPath]",
    "ReplaceLabelsAnnotationsFieldPath": (
        f"{_IMAGES}test_images_update[ReplaceLabelsAnnotationsFieldPath]"
    ),
    "ReplaceLabel": f"{_IMAGES}test_images_update[ReplaceLabel]",
    "ReplaceAnnotation": f"{_IMAGES}test_images_update[ReplaceAnnotation]",
    "ReplaceTargetTypeAndAnnotations": (f"{_IMAGE_CASES}test_replace_target_type_and_annotations"),
    "ReplaceTargetFieldpath": (
        f"{_IMAGES}test_images_update[ReplaceTargetFieldpath]",
        f"{_OLD_TARGET}[ReplaceTargetFieldpath]",
    ),
    "ReplaceTarget": (
        f"{_IMAGES}test_images_update[ReplaceTarget]",
        f"{_OLD_TARGET}[ReplaceTarget]",
    ),
    "EmptySize": f"{_IMAGE_CASES}test_an_update_is_validated[full-EmptySize]",
    "EmptySizeOnCreate": (
        f"{_IMAGES}test_what_is_invalid_is_refused_and_writes_nothing[EmptySizeOnCreate]"
    ),
    "EmptyMediaType": f"{_IMAGE_CASES}test_an_update_is_validated[full-EmptyMediaType]",
    "EmptySizeOnCreate (the second)": (
        f"{_IMAGES}test_what_is_invalid_is_refused_and_writes_nothing[EmptyMediaType]"
    ),
    "TryUpdateNameFail": f"{_IMAGES}test_try_update_name_fail",
}

METADATA: Final[dict[str, Ours]] = {
    "TestInit": "stores/test_database_cases::test_init",
    "TestClose": "stores/test_database_cases::test_close",
    "TestMigrations/ChildrenKey": "schema/test_migrations::test_children_key",
    "TestMigrations/IngestUpdate": "schema/test_migrations::test_ingest_update",
    "TestMigrations/NoOp": "schema/test_migrations::test_no_op",
    "TestMigrations/MigrateSandboxes": "schema/test_migrations::test_migrate_sandboxes",
    "TestMetadataCollector": "collector/test_collections::test_metadata_collector",
    "BenchmarkGarbageCollect": _TIMING,
    "TestResourceMax": f"{_GRAPH}test_resource_max",
    "TestGCRoots": f"{_GRAPH}test_gc_roots",
    "TestGCRemove": f"{_GRAPH}test_gc_remove",
    "TestGCRefs": f"{_GRAPH}test_gc_refs",
    "TestCollectibleResources": f"{_GRAPH}test_collectible_resources",
    "TestCollectionWithReferences": f"{_GRAPH}test_collection_with_references",
    "TestContainersList/FullSet": (
        f"{_CONTAINERS}test_containers_list[FullSet]",
        f"{_CONTAINERS}test_containers_list_then_deletes",
    ),
    **{
        f"TestContainersList/{case}": f"{_CONTAINERS}test_containers_list[{case}]"
        for case in ("FullSetFiltered", "Even", "Odd", "ByID", "ByIDLabelEven", "ByRuntime")
    },
    **{
        f"TestContainersCreateUpdateDelete/{case}": f"{_CONTAINERS}{ours}"
        for case, ours in _CONTAINER_UPDATES.items()
    },
    "TestContent": (
        f"{_CONTENT}test_writer",
        f"{_CONTENT}test_update_status",
        f"{_CONTENT}test_commit_exists",
        f"{_CONTENT}test_resume",
        f"{_CONTENT}test_resume_truncate",
        f"{_CONTENT}test_labels",
        f"{_CONTENT}test_commit_error_state",
        f"{_SHARING}test_cross_namespace_share",
        f"{_SHARING}test_cross_namespace_append",
        f"{_SHARING}test_cross_namespace_isolate",
        f"{_SHARING}test_shared_namespace_isolate",
    ),
    "TestContentLeased": f"{_CONTENT}test_content_leased",
    "TestIngestLeased": f"{_CONTENT}test_ingest_leased",
    "TestImagesList/FullSet": (
        f"{_IMAGES}test_images_list[FullSet]",
        f"{_IMAGES}test_images_list_then_deletes",
    ),
    **{
        f"TestImagesList/{case}": f"{_IMAGES}test_images_list[{case}]"
        for case in ("FullSetFiltered", "Even", "Odd", "ByName", "ByNameLabelEven", "ByMediaType")
    },
    **{f"TestImagesCreateUpdateDelete/{case}": ours for case, ours in _IMAGE_UPDATES.items()},
    "TestLeases": f"{_LEASES}test_leases",
    **{
        f"TestLeasesList/{case}": f"{_LEASES}test_leases_list[{case}]"
        for case in (
            "All",
            "ID",
            "IDx2",
            "Label1",
            "Label1value1",
            "Label1value2",
            "Label2",
            "Label3",
        )
    },
    "TestLeaseResource": f"{_LEASES}test_lease_resource",
    "TestCreateDelete/empty": "stores/test_namespace_store::test_create_delete_empty",
    "TestCreateDelete/not-empty": "stores/test_namespace_store::test_create_delete_not_empty",
    "TestSandboxCreate": f"{_SANDBOXES}test_sandbox_create_and_dup",
    "TestSandboxCreateDup": f"{_SANDBOXES}test_sandbox_create_and_dup",
    "TestSandboxUpdate": f"{_SANDBOXES}test_sandbox_update",
    "TestSandboxGetInvalid": f"{_SANDBOXES}test_sandbox_get_invalid_and_delete",
    "TestSandboxList": f"{_SANDBOXES}test_sandbox_list_with_filter",
    "TestSandboxListWithFilter": f"{_SANDBOXES}test_sandbox_list_with_filter",
    "TestSandboxDelete": f"{_SANDBOXES}test_sandbox_get_invalid_and_delete",
    "TestSnapshotterWithRef": (
        "stores/test_remote_snapshots::test_snapshotter_with_ref",
        f"{_REMOTE}test_several_namespaces_share_what_the_backend_has",
        f"{_REMOTE}test_another_parent_is_another_snapshot",
        f"{_REMOTE}test_a_target_on_a_parent_that_is_missing",
        f"{_REMOTE}test_a_target_that_the_backend_cannot_have_is_prepared_and_committed",
    ),
    "TestFilterInheritedLabels": (
        "records/test_labels::test_a_backend_is_told_only_the_labels_meant_for_it"
    ),
    "TestMetadata": (
        "stores/test_snapshot_store::test_basic",
        "stores/test_snapshot_store::test_transitivity",
        "stores/test_snapshot_store::test_a_key_is_used_once",
        "stores/test_snapshot_store::test_update",
        "stores/test_snapshot_store::test_remove",
        "stores/test_snapshot_store::test_walk",
    ),
}

COLLECTOR: Final[dict[str, Ours]] = {
    "TestTricolorBasic": "collector/test_tricolor::test_tricolor_basic",
    "TestConcurrentBasic": Reason("there is one marker, and it marks in one thread"),
    "BenchmarkTricolor": _TIMING,
    "TestPauseThreshold": "collector/test_schedule::test_pause_threshold",
    "TestDeletionThreshold": "collector/test_schedule::test_deletion_threshold",
    "TestTrigger": "collector/test_schedule::test_trigger",
    "TestStartupDelay": "collector/test_schedule::test_startup_delay",
}

FILTERS: Final[dict[str, Ours]] = {
    "TestFilters": _FILTERS,
    "TestScanner": _TOKENS,
    "TestOperatorStrings": _TOKENS,
    "FuzzFiltersParse": (
        "filters/test_filters::test_no_text_crashes_the_parser",
        "filters/test_filters::test_no_mixture_of_tokens_crashes_parser_or_match",
    ),
}

CONTENT: Final[dict[str, Ours]] = {
    "Writer": (f"{_SUITE}test_writer", f"{_SUITE}test_writer_of_32_mebibytes"),
    "UpdateStatus": f"{_SUITE}test_update_status",
    "CommitExists": f"{_SUITE}test_commit_exists",
    "Resume": f"{_SUITE}test_resume",
    "ResumeTruncate": f"{_SUITE}test_resume_truncate",
    "ResumeDiscard": f"{_SUITE}test_resume_discard",
    "ResumeCopy": _ONE_READER,
    "ResumeCopySeeker": f"{_SUITE}test_resume_copy_seeker",
    "ResumeCopyReaderAt": _ONE_READER,
    "SmallBlob": f"{_SUITE}test_small_blob",
    "Labels": f"{_CONTENT}test_labels",
    "CommitErrorState": (f"{_SUITE}test_commit_error_state", f"{_CONTENT}test_commit_error_state"),
    "CrossNamespaceAppend": f"{_SHARING}test_cross_namespace_append",
    "CrossNamespaceShare": f"{_SHARING}test_cross_namespace_share",
    "CrossNamespaceIsolate": f"{_SHARING}test_cross_namespace_isolate",
    "SharedNamespaceIsolate": f"{_SHARING}test_shared_namespace_isolate",
}

SNAPSHOTS: Final[dict[str, Ours]] = {
    "Basic": (f"{_SNAPSHOTS}test_basic", f"{_MOUNTS}test_basic"),
    "StatActive": f"{_SNAPSHOTS}test_stat_active_and_committed",
    "StatComitted": f"{_SNAPSHOTS}test_stat_active_and_committed",
    "TransitivityTest": f"{_SNAPSHOTS}test_transitivity",
    "PreareViewFailingtest": f"{_SNAPSHOTS}test_prepare_view_failing",
    "Update": f"{_SNAPSHOTS}test_update",
    "Remove": f"{_SNAPSHOTS}test_remove",
    "Walk": (f"{_SNAPSHOTS}test_walk_and_stat_in_walk", "stores/test_snapshot_store::test_walk"),
    "LayerFileupdate": f"{_MOUNTS}test_layer_file_update",
    "RemoveDirectoryInLowerLayer": f"{_MOUNTS}test_remove_directory_in_lower_layer",
    "Chown": f"{_MOUNTS}test_chown",
    "DirectoryPermissionOnCommit": f"{_MOUNTS}test_directory_permission_on_commit",
    "RemoveIntermediateSnapshot": f"{_SNAPSHOTS}test_remove_intermediate_snapshot",
    "DeletedFilesInChildSnapshot": f"{_MOUNTS}test_deleted_files_in_child_snapshot",
    "MoveFileFromLowerLayer": f"{_MOUNTS}test_move_file_from_lower_layer",
    "ViewReadonly": f"{_MOUNTS}test_view_readonly",
    "StatInWalk": f"{_SNAPSHOTS}test_walk_and_stat_in_walk",
    "CloseTwice": f"{_SNAPSHOTS}test_close_twice",
    "RootPermission": (f"{_SNAPSHOTS}test_root_permission", f"{_MOUNTS}test_root_permission"),
    "Rename": f"{_MOUNTS}test_rename",
    "128LayersMount": f"{_MOUNTS}test_128_layers_mount",
}

STORAGE: Final[dict[str, Ours]] = {
    "GetInfo": f"{_METASTORE}test_get_info",
    "GetInfoNotExist": f"{_METASTORE}test_get_info_not_exist",
    "GetInfoEmptyDB": f"{_METASTORE}test_an_empty_database_has_no_snapshots",
    "Walk": f"{_METASTORE}test_walk",
    "GetSnapshot": f"{_METASTORE}test_get_snapshot",
    "GetSnapshotNotExist": f"{_METASTORE}test_get_snapshot",
    "GetSnapshotCommitted": f"{_METASTORE}test_get_snapshot",
    "GetSnapshotEmptyDB": f"{_METASTORE}test_an_empty_database_has_no_snapshots",
    "CreateActive": f"{_METASTORE}test_create_active",
    "CreateActiveNotExist": f"{_METASTORE}test_create_refused",
    "CreateActiveExist": f"{_METASTORE}test_create_refused",
    "CreateActiveFromActive": f"{_METASTORE}test_create_refused",
    "Commit": f"{_METASTORE}test_commit",
    "CommitNotExist": f"{_METASTORE}test_commit_refused",
    "CommitExist": f"{_METASTORE}test_commit_refused",
    "CommitCommitted": f"{_METASTORE}test_commit_refused",
    "CommitViewFails": f"{_METASTORE}test_commit_refused",
    "Remove": f"{_METASTORE}test_remove",
    "RemoveNotExist": f"{_METASTORE}test_remove_refused",
    "RemoveWithChildren": f"{_METASTORE}test_remove_refused",
    "ParentIDs": f"{_METASTORE}test_parent_ids",
    "Rebase": f"{_METASTORE}test_rebase",
    "Benchmarks": _TIMING,
}

HELPERS: Final[dict[str, Ours]] = {
    "labels/TestValidLabels": "records/test_labels::test_labels_of_up_to_4096_bytes_are_valid",
    "labels/TestInvalidLabels": "records/test_labels::test_longer_labels_are_refused",
    "labels/TestIsReserved": Reason("nothing here asks whether a label is reserved"),
    "labels/TestLongKey": (
        "records/test_labels::test_the_message_says_where_and_shows_how_the_name_begins"
    ),
    "identifiers/TestValidIdentifiers": (
        "records/test_identifiers::test_identifiers_are_words_with_single_separators"
    ),
    "identifiers/TestInvalidIdentifiers": (
        "records/test_identifiers::test_what_is_no_identifier_is_refused"
    ),
    "namespaces/TestContext": "stores/test_namespace_store::test_a_namespace_is_required",
    "namespaces/TestNamespaceFromEnv": (
        "cli/test_cli_images::test_the_namespace_of_the_environment"
    ),
    "namespaces/TestCopyTTRPCMetadata": _NO_RPC,
    "namespaces/TestTTRPCNamespaceHeader": _NO_RPC,
    "leases/TestWithLabels": f"{_LEASES}test_leases_list",
    "sandbox/TestAddExtension": Reason("extensions are given as they are stored: as an Any"),
    "content/TestAdaptInfo": f"{_CONTENT}test_walk",
    "content/TestCopy": _ONE_READER,
    "content/TestUseDescriptorData": _NO_DATA,
    "content/TestBlobReadSeeker_WithDescriptorData": _NO_DATA,
    "content/TestReadBlob_WithDescriptorData": _NO_DATA,
    "local/TestContent": f"{_SUITE}test_writer",
    "local/TestContentRootDir": "stores/test_opening::test_what_exists_keeps_its_mode",
    "local/TestInvalidPermissionRootDir": Reason(
        "containerd refuses a root that others may write to; Orlop leaves the mode of a "
        "directory that exists to whoever made it"
    ),
    "local/TestContentWriter": f"{_LOCAL}test_content_writer_of_each_algorithm",
    "local/TestWalkBlobs": f"{_LOCAL}test_walk_blobs",
    "local/TestWriterTruncateRecoversFromIncompleteWrite": (
        f"{_LOCAL}test_writer_truncate_recovers_from_incomplete_write"
    ),
    "local/TestWriteReadEmptyFileTimestamp": f"{_LOCAL}test_a_zero_timestamp_reads_as_none",
    "local/TestTryLock": f"{_SUITE}test_commit_error_state",
}

CASES: Final[dict[str, dict[str, Ours]]] = {
    "core/metadata": METADATA,
    "pkg/gc, plugins/gc": COLLECTOR,
    "pkg/filters": FILTERS,
    "core/content/testsuite": CONTENT,
    "core/snapshots/testsuite": SNAPSHOTS,
    "core/snapshots/storage": STORAGE,
    "helpers": HELPERS,
}
