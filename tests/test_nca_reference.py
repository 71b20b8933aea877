"""Against the output of a reference implementation (Phoenix WinNonlin) as publicly quoted, to all digits printed.

Data: theophylline by mouth (Boeckmann, Sheiner and Beal 1994) and indomethacin as a bolus (Kwan et al. 1976), both as
in R's datasets. They also settle three choices of N3 and N5: 1e-4 of the adjusted R2 (theophylline, subject 6), Cmax
allowed after a bolus (indomethacin, subject 4), and the value at a bolus (all areas of indomethacin).
"""

from __future__ import annotations

import pytest

from profiles import study, values

THEOPHYLLINE = {
    1: ((0, 0.25, 0.57, 1.12, 2.02, 3.82, 5.1, 7.03, 9.05, 12.12, 24.37),
        (0.74, 2.84, 6.57, 10.5, 9.66, 8.58, 8.36, 7.47, 6.89, 5.94, 3.28)),
    2: ((0, 0.27, 0.52, 1.0, 1.92, 3.5, 5.02, 7.03, 9.0, 12.0, 24.3),
        (0, 1.72, 7.91, 8.31, 8.33, 6.85, 6.08, 5.4, 4.55, 3.01, 0.9)),
    5: ((0, 0.3, 0.52, 1.0, 2.02, 3.5, 5.02, 7.02, 9.1, 12.0, 24.35),
        (0, 2.02, 5.63, 11.4, 9.33, 8.74, 7.56, 7.09, 5.9, 4.37, 1.57)),
    6: ((0, 0.27, 0.58, 1.15, 2.03, 3.57, 5.0, 7.0, 9.22, 12.1, 23.85),
        (0, 1.29, 3.08, 6.44, 6.32, 5.53, 4.94, 4.02, 3.46, 2.78, 0.92)),
    7: ((0, 0.25, 0.5, 1.02, 2.02, 3.48, 5.0, 6.98, 9.0, 12.05, 24.22),
        (0.15, 0.85, 2.35, 5.02, 6.58, 7.09, 6.66, 5.25, 4.39, 3.53, 1.15)),
    8: ((0, 0.25, 0.52, 0.98, 2.02, 3.53, 5.05, 7.15, 9.07, 12.1, 24.12),
        (0, 3.05, 3.05, 7.31, 7.56, 6.59, 5.88, 4.73, 4.57, 3.0, 1.25)),
}  # fmt: skip
# AUClast, AUCinf_obs, lambda_z, half-life, CL/F, Vz/F, % extrapolated; then AUClast, AUCinf_obs, CL/F with log down
PRINTED = {
    1: ("148.923050", "216.611933", "0.048457", "14.304378", "1.477296", "30.486748", "31.248917",
        "147.234748", "214.923632", "1.488901"),
    2: ("91.526800", "100.173459", "0.104086", "6.659342", "3.194459", "30.690442", "8.631687",
        "88.731275", "97.377935", "3.286165"),
    5: ("121.294400", "139.419778", "0.086619", "8.002264", "2.295227", "26.497995", "13.000579",
        "118.179354", "136.304732", "2.347681"),
    6: ("73.775550", "84.254418", "0.087796", "7.894998", "3.798020", "43.259735", "12.437174",
        "71.697015", "82.175883", "3.894087"),
    7: ("90.753400", "103.771802", "0.088336", "7.846668", "3.083689", "34.908441", "12.545221",
        "87.969227", "100.987629", "3.168705"),
    8: ("88.559950", "103.906687", "0.081451", "8.510038", "3.079686", "37.810508", "14.769730",
        "86.806563", "102.153300", "3.132547"),
}  # fmt: skip
LINEAR = ("auc_last", "auc_inf_obs", "lambda_z", "half_life", "cl/F", "vz/F", "auc_percent_extrapolated_obs")

BLOOD = (0.25, 0.5, 0.75, 1, 1.25, 2, 3, 4, 5, 6, 8)
INDOMETHACIN = {
    1: (1.5, 0.94, 0.78, 0.48, 0.37, 0.19, 0.12, 0.11, 0.08, 0.07, 0.05),
    2: (2.03, 1.63, 0.71, 0.7, 0.64, 0.36, 0.32, 0.2, 0.25, 0.12, 0.08),
    3: (2.72, 1.49, 1.16, 0.8, 0.8, 0.39, 0.22, 0.12, 0.11, 0.08, 0.08),
    4: (1.85, 1.39, 1.02, 0.89, 0.59, 0.4, 0.16, 0.11, 0.1, 0.07, 0.07),
    5: (2.05, 1.04, 0.81, 0.39, 0.3, 0.23, 0.13, 0.11, 0.08, 0.1, 0.06),
    6: (2.31, 1.44, 1.03, 0.84, 0.64, 0.42, 0.24, 0.17, 0.13, 0.1, 0.09),
}
# lambda_z, half-life, C0, AUClast, AUCinf_obs, Vz, CL
PRINTED_BOLUS = {
    1: ("0.158320", "4.378127", "2.393617", "2.040452", "2.356267", "67.015978", "10.610002"),
    2: ("0.302280", "2.293063", "2.528160", "3.248520", "3.513175", "23.541317", "7.116070"),
    3: ("0.421893", "1.642947", "4.965369", "3.554421", "3.744043", "15.826950", "6.677274"),
    4: ("0.455445", "1.521910", "2.462230", "2.785279", "2.938974", "18.677030", "8.506369"),
    5: ("0.252748", "2.742446", "4.040865", "2.458858", "2.696249", "36.685349", "9.272141"),
    6: ("0.353521", "1.960699", "3.705625", "3.335703", "3.590285", "19.696834", "6.963235"),
}
BOLUS = ("lambda_z", "half_life", "c0", "auc_last", "auc_inf_obs", "vz", "cl")


@pytest.mark.parametrize("subject", THEOPHYLLINE)
def test_extravascular_doses_agree(subject: int) -> None:
    time, value = THEOPHYLLINE[subject]
    given = study(time, value, route="oral", dose=320)
    straight, log = values(given, areas="linear"), values(given)
    found = [straight[name] for name in LINEAR] + [log["auc_last"], log["auc_inf_obs"], log["cl/F"]]
    assert found == [pytest.approx(float(text), abs=1.01e-6) for text in PRINTED[subject]]


@pytest.mark.parametrize("subject", INDOMETHACIN)
def test_boluses_agree(subject: int) -> None:
    found = values(study(BLOOD, INDOMETHACIN[subject], dose=25), areas="linear")
    assert [f"{found[name]:.6f}" for name in BOLUS] == list(PRINTED_BOLUS[subject])
