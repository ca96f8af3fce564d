"""A detector on disk: a directory without executable content.

``manifest.json`` says what the model is and holds the SHA-256 of every other file; ``encoder.json`` and ``anomaly.npz``
are plain data; the trees are in skops format, of which nothing is accepted but scikit-learn's own tree type, and whose
nodes are checked to stay within bounds. Loading a foreign directory thus runs no code of it. The checksums find damage;
they do not prove who made the model.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier

from synfinance.fraud.anomaly import AnomalyModel
from synfinance.fraud.detector import Attribute, Detector
from synfinance.fraud.encoding import Encoder
from synfinance.fraud.roles import Roles

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_TREE: Final = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
_MAX_FILE_BYTES: Final = 1 << 30


class BadModel(ValueError):
    """A directory that is not a usable model; the message names it and says why, in one line."""


def save(detector: Detector, path: Path) -> None:
    """Write a detector to a directory, replacing a model that is there already.

    Raises:
        BadModel: there is something at ``path`` that is not a model.
        OSError: the directory cannot be written.
    """
    if path.exists() and not (path / MANIFEST).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise BadModel(f"{path}: there is something else than a model; name another directory")
    import skops.io  # type: ignore[import-untyped]  # It takes half a second to import, and scoring does without.

    files = {
        "encoder.json": orjson.dumps(detector.encoder.as_dict()),
        "anomaly.npz": _anomaly_bytes(detector.anomaly),
    }
    if detector.classifier is not None:
        files["classifier.skops"] = skops.io.dumps(detector.classifier)
    for name, attribute in detector.attributes.items():
        files[f"{name}.skops"] = skops.io.dumps(attribute.model)
    manifest = {
        "format": FORMAT,
        "sklearn": sklearn.__version__,
        "roles": detector.roles.as_dict(),
        "features": detector.feature_names,
        "threshold": detector.threshold,
        "meaning": detector.meaning,
        "attributes": {name: attribute.classes for name, attribute in detector.attributes.items()},
        "anomaly": {
            "names": detector.anomaly.names,
            "concepts": detector.anomaly.concepts,
            "rows": detector.anomaly.rows,
        },
        "summary": detector.summary,
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    files[MANIFEST] = orjson.dumps(manifest, option=orjson.OPT_INDENT_2)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        for name, data in files.items():
            (fresh / name).write_bytes(data)
        fresh.chmod(0o755)
        if path.exists():
            old = path.with_name(f".{path.name}.{os.getpid()}.old")
            path.rename(old)
            fresh.rename(path)
            shutil.rmtree(old)
        else:
            fresh.rename(path)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def load(path: Path) -> Detector:
    """Read a detector.

    Raises:
        BadModel: it is not a model, is damaged, or was made with another format or version.
    """
    files = _read(path)
    try:
        manifest = orjson.loads(files[MANIFEST])
        if manifest["format"] != FORMAT:
            raise BadModel(f"{path}: the model has format {manifest['format']}, this is {FORMAT}; train it again")
        made, here = manifest["sklearn"].split(".")[:2], sklearn.__version__.split(".")[:2]
        if made != here:
            raise BadModel(
                f"{path}: it was trained with scikit-learn {'.'.join(made)}, here is {'.'.join(here)}; train it again"
            )
        for name, digest in manifest["sha256"].items():
            if name not in files or hashlib.sha256(files[name]).hexdigest() != digest:
                raise BadModel(f"{path}: {name} is missing or damaged (its checksum differs); train the model again")
        trusted = {name: files[name] for name in manifest["sha256"]}
        roles = Roles.from_dict(manifest["roles"])
        encoder = Encoder.from_dict(orjson.loads(trusted["encoder.json"]))
        features = tuple(str(name) for name in manifest["features"])
        width = len(features) + len(encoder.feature_names)
        attributes = {
            str(name): Attribute(_classifier(path, trusted[f"{name}.skops"], width), tuple(map(str, classes)))
            for name, classes in manifest["attributes"].items()
        }
        for name, attribute in attributes.items():
            if attribute.model.n_trees_per_iteration_ not in (1, len(attribute.classes)):
                raise BadModel(f"{path}: {name}.skops does not fit its classes; train the model again")
        return Detector(
            roles=roles,
            feature_names=features,
            anomaly=_anomaly(manifest["anomaly"], trusted["anomaly.npz"]),
            encoder=encoder,
            classifier=_classifier(path, trusted["classifier.skops"], width) if "classifier.skops" in trusted else None,
            threshold=float(manifest["threshold"]),
            attributes=attributes,
            meaning=str(manifest["meaning"]),
            summary=dict(manifest["summary"]),
        )
    except BadModel:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OSError, zipfile.BadZipFile) as error:
        raise BadModel(f"{path}: it is not a model of synfinance train ({type(error).__name__}: {error})") from None


def _read(path: Path) -> dict[str, bytes]:
    try:
        if not path.exists():
            raise BadModel(f"{path}: there is no such model; make one with synfinance train")
        if not path.is_dir() or not (path / MANIFEST).is_file():
            raise BadModel(f"{path}: it is not a model; name the directory that synfinance train wrote")
        files = {}
        for entry in sorted(path.iterdir()):
            if entry.is_file() and entry.suffix in (".json", ".npz", ".skops"):
                if entry.stat().st_size > _MAX_FILE_BYTES:
                    raise BadModel(f"{path}: {entry.name} is too large to be part of a model")
                files[entry.name] = entry.read_bytes()
        return files
    except OSError as error:
        raise BadModel(f"{path}: the model cannot be read ({error.strerror})") from None


def _classifier(path: Path, data: bytes, width: int) -> HistGradientBoostingClassifier:
    """Read a classifier, refusing types other than scikit-learn's trees and trees that point outside themselves."""
    import skops.io

    foreign = sorted(set(skops.io.get_untrusted_types(data=data)) - {_TREE})
    if foreign:
        raise BadModel(f"{path}: the model holds foreign types ({', '.join(foreign[:3])}) and is not loaded")
    model = skops.io.loads(data, trusted=[_TREE])
    if not isinstance(model, HistGradientBoostingClassifier) or model.n_features_in_ != width:
        raise BadModel(f"{path}: the classifier does not fit the features; train the model again")
    for iteration in model._predictors:
        for tree in iteration:
            nodes = tree.nodes
            inner = nodes[nodes["is_leaf"] == 0]
            children = np.concatenate([inner["left"], inner["right"]]).astype(np.int64)
            # Children come after their parents, so that walking down a tree ends.
            parents = np.tile(np.flatnonzero(nodes["is_leaf"] == 0), 2)
            sound = (
                len(nodes) > 0
                and bool(np.all(children < len(nodes)) and np.all(children > parents))
                and bool(np.all((inner["feature_idx"] >= 0) & (inner["feature_idx"] < width)))
                and not inner["is_categorical"].any()
            )
            if not sound:
                raise BadModel(f"{path}: a tree of the model points outside itself; it is damaged or forged")
    return model


def _anomaly_bytes(model: AnomalyModel) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, tails=model.tails, upper=model.upper, lower=model.lower, scores=model.scores)
    return buffer.getvalue()


def _anomaly(about: dict[str, Any], data: bytes) -> AnomalyModel:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        model = AnomalyModel(
            names=tuple(map(str, about["names"])),
            concepts=tuple(map(str, about["concepts"])),
            tails=arrays["tails"],
            upper=arrays["upper"],
            lower=arrays["lower"],
            scores=arrays["scores"],
            rows=int(about["rows"]),
        )
    if not (
        model.upper.shape == model.lower.shape == (len(model.names), len(model.tails))
        and len(model.concepts) == len(model.names)
    ):
        raise ValueError("the arrays of the anomaly model do not fit each other")
    return model
